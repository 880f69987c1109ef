# SPDX-License-Identifier: Apache-2.0
"""Running pods in a Kubernetes lab as a person with `kubectl` and a scheduler would: objects, and waiting for them.

What is behind an object is the business of the node's kubelet. A run that fails or is interrupted leaves no object.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec

from buoy.lab.control import LabError
from buoy.lab.kube_api import KubeApi, Object, Refused
from buoy.lab.lab import Lab
from buoy.lab.launch import undisturbed
from buoy.lab.place import check_name
from buoy.lab.pod_status import READY_ANNOTATION, TERMINATES_FOR, TERMINATES_FOR_ANNOTATION
from buoy.lab.sandbox import LOGS

_SECONDS = 20.0
_GRACE_SECONDS = 30
_POLL = 0.02

Row = dict[str, Any]
"""A pod for people: namespace, name, node, state, ready, addresses, labels."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to run; a port is a number, or ``53/udp``."""

    name: str
    node: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ports: tuple[str, ...] = ("8080",)
    is_ready: bool = True
    terminates_for: float = TERMINATES_FOR


def run(lab: Lab, wish: Wish) -> Row:
    """Run a pod and return it once it is as wished; raise `LabError` or `Refused`, leaving nothing."""
    check_name(wish.name, "NAME")
    server = api(lab)
    if (found := server.find(f"/api/v1/nodes/{wish.node}")) is None or "podCIDR" not in found["spec"]:
        nodes = ", ".join(node["metadata"]["name"] for node in server.get("/api/v1/nodes")["items"])
        raise LabError(f"--node {wish.node}: pods can be on {nodes}")
    try:
        _create(server, wish)
        return _await(server, wish.namespace, wish.name, lambda row: row["ready"] is wish.is_ready)
    except BaseException as error:
        if not isinstance(error, Refused):
            with undisturbed():
                server.delete(_path(wish.namespace, wish.name), {"gracePeriodSeconds": 0})
        raise


def listing(lab: Lab, namespace: str = "") -> list[Row]:
    """Return the pods of a namespace, or of all."""
    collection = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    return [_row(pod) for pod in api(lab).get(collection)["items"]]


def set_ready(lab: Lab, namespace: str, name: str, *, is_ready: bool) -> Row:
    """Let a pod's readiness probe succeed or fail, and return the pod once its status says so."""
    server = api(lab)
    change = {"metadata": {"annotations": {READY_ANNOTATION: "true" if is_ready else "false"}}}
    server.merge(_path(namespace, name), change)
    return _await(server, namespace, name, lambda row: row["ready"] is is_ready)


def delete(lab: Lab, namespace: str, name: str, *, wait: bool = True) -> Row:
    """Delete a pod and return it as it was; `wait` until its grace is over and it is gone."""
    server = api(lab)
    path = _path(namespace, name)
    pod = server.get(path)
    server.delete(path)
    limit = time.monotonic() + pod["spec"]["terminationGracePeriodSeconds"] + _SECONDS
    while wait and (left := server.find(path)) and left["metadata"]["uid"] == pod["metadata"]["uid"]:
        if time.monotonic() > limit:
            raise LabError(f"pod {namespace}/{name} does not end: is its node on? `buoy lab status`")
        time.sleep(_POLL)
    return _row(pod)


def log(lab: Lab, namespace: str, name: str) -> str:
    """Return what a pod's processes wrote on its node."""
    node = api(lab).get(_path(namespace, name))["spec"]["nodeName"]
    return lab.exec(node, "cat", f"{LOGS}/{namespace}_{name}.log").stdout


def api(lab: Lab) -> KubeApi:
    """Return the lab's API server, as its administrator; raise `LabError` if the lab is of another kind."""
    try:
        return KubeApi(lab.env()["KUBECONFIG"])
    except KeyError as error:
        raise LabError(f"lab {lab.name} is no Kubernetes lab: `buoy lab up kubernetes`") from error


def _create(server: KubeApi, wish: Wish) -> None:
    asked = {
        READY_ANNOTATION: "true" if wish.is_ready else "false",
        TERMINATES_FOR_ANNOTATION: str(wish.terminates_for),
    }
    container = {"name": "main", "image": "lab", "ports": [_port(port) for port in wish.ports]}
    grace = max(_GRACE_SECONDS, math.ceil(wish.terminates_for))
    wanted: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": wish.name, "labels": wish.labels, "annotations": {**wish.annotations, **asked}},
        "spec": {"nodeName": wish.node, "containers": [container], "terminationGracePeriodSeconds": grace},
    }
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            server.create(f"/api/v1/namespaces/{wish.namespace}/pods", wanted)
        except Refused as error:
            # a new namespace has no default service account for a moment
            if "serviceaccount" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL)
        else:
            return


def _port(text: str) -> Object:
    number, _, protocol = text.partition("/")
    return {
        "containerPort": int(number),
        "protocol": (protocol or "tcp").upper(),
        "name": f"p-{text.replace('/', '-')}",
    }


def _await(server: KubeApi, namespace: str, name: str, is_so: Callable[[Row], bool]) -> Row:
    deadline = time.monotonic() + _SECONDS
    while True:
        row = _row(server.get(_path(namespace, name)))
        if row["addresses"] and is_so(row):
            return row
        if time.monotonic() > deadline:
            raise LabError(f"pod {name} is {row['state']} after {_SECONDS:g} s: `buoy lab logs {row['node']} kubelet`")
        time.sleep(_POLL)


def _row(pod: Object) -> Row:
    metadata, status = pod["metadata"], pod.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "node": pod["spec"].get("nodeName", ""),
        "state": "Terminating" if "deletionTimestamp" in metadata else status.get("phase", "Unknown"),
        "ready": conditions.get("Ready") == "True",
        "addresses": [each["ip"] for each in status.get("podIPs", ())],
        "labels": metadata.get("labels", {}),
    }


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
