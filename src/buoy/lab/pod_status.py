# SPDX-License-Identifier: Apache-2.0
"""What a kubelet says of a node and of its pods, as text for the API server; no clock, no kernel.

Annotations ask the lab's kubelet for what a real one learns from a container: whether it is ready,
and how long it takes to end. Source: the fields of v1.PodStatus and v1.NodeStatus.
"""

from collections.abc import Sequence
from typing import Any

READY_ANNOTATION = "lab.buoy.dev/ready"
"""``false``: the pod's readiness probe fails."""
TERMINATES_FOR_ANNOTATION = "lab.buoy.dev/terminates-for"
"""Seconds from the deletion to the end of the process; it goes on serving meanwhile."""
TERMINATES_FOR = 1.0
_DEFAULT_PORT = 8080

Object = dict[str, Any]


def is_wanted_ready(pod: Object) -> bool:
    """Tell whether a running pod's probe succeeds."""
    return _annotations(pod).get(READY_ANNOTATION, "true") != "false"


def ending_seconds(pod: Object, *, is_program: bool = False) -> float:
    """Return for how long a deleted pod goes on; its grace period is the limit, and all that a program has."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
    if is_program:
        return float(grace)
    try:
        wanted = float(_annotations(pod).get(TERMINATES_FOR_ANNOTATION, TERMINATES_FOR))
    except ValueError:
        wanted = TERMINATES_FOR
    return max(0.0, min(wanted, float(grace)))


def ports(pod: Object) -> tuple[str, ...]:
    """Return what a pod listens on, as ``pod_server.py`` takes it: its containers' ports, else 8080."""
    declared = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    found = [_port(port["containerPort"], port.get("protocol", "TCP")) for port in declared]
    return tuple(dict.fromkeys(found)) or (str(_DEFAULT_PORT),)


def _port(number: int, protocol: str) -> str:
    return str(number) if protocol == "TCP" else f"{number}/{protocol.lower()}"


def running(pod: Object, addresses: Sequence[str], host: Sequence[str], now: str, *, is_ready: bool) -> Object:
    """Return the status of a pod that runs; times that stood there already stay."""
    before = pod.get("status", {})
    started = before.get("startTime", now)
    containers = [
        {
            "name": container["name"], "image": container["image"], "imageID": "", "ready": is_ready, "started": True,
            "restartCount": 0, "state": {"running": {"startedAt": started}}, "lastState": {},
        }
        for container in pod["spec"]["containers"]
    ]  # fmt: skip
    return {
        "phase": "Running", "startTime": started, "containerStatuses": containers,
        "conditions": _conditions(before.get("conditions", ()), now, is_ready=is_ready),
        "hostIP": host[0], "hostIPs": [{"ip": address} for address in host],
        "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses],
    }  # fmt: skip


def _conditions(before: Sequence[Object], now: str, *, is_ready: bool) -> list[Object]:
    ours = dict.fromkeys(("PodReadyToStartContainers", "Initialized", "PodScheduled"), True)
    ours |= dict.fromkeys(("Ready", "ContainersReady"), is_ready)
    known = {each["type"]: each for each in before}
    made = [_condition(known.get(name), name, "True" if value else "False", now) for name, value in ours.items()]
    return [*made, *(each for name, each in known.items() if name not in ours)]


def _condition(before: Object | None, name: str, value: str, now: str) -> Object:
    if before is not None and before["status"] == value:
        return before
    return {"type": name, "status": value, "lastProbeTime": None, "lastTransitionTime": now}


def differs(status: Object, before: Object) -> bool:
    """Tell whether a status says anything that the API server does not have yet."""
    return any(before.get(field) != value for field, value in status.items() if field != "containerStatuses") or [
        each["ready"] for each in status["containerStatuses"]
    ] != [each["ready"] for each in before.get("containerStatuses", ())]


def node(name: str, cidrs: Sequence[str]) -> Object:
    """Return a node as a kubelet registers it, with the ranges that a cloud would give it."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)},
    }  # fmt: skip


def ready_node(found: Object, addresses: Sequence[str], now: str) -> Object:
    """Return the status of a node that is well; conditions that others gave it stay."""
    name = found["metadata"]["name"]
    others = [each for each in found.get("status", {}).get("conditions", ()) if each["type"] != "Ready"]
    room = {"cpu": "4", "memory": "8Gi", "pods": "250"}
    internal = [{"type": "InternalIP", "address": address} for address in addresses]
    return {
        "addresses": [*internal, {"type": "Hostname", "address": name}],
        "capacity": room,
        "allocatable": room,
        "conditions": [
            *others,
            {
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the lab's kubelet runs",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            },
        ],
    }  # fmt: skip


def is_ready_node(found: Object) -> bool:
    """Tell whether the API server holds a node for ready."""
    conditions = found.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _annotations(pod: Object) -> dict[str, str]:
    return pod["metadata"].get("annotations") or {}
