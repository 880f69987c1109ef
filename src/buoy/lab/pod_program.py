# SPDX-License-Identifier: Apache-2.0
"""Pods of Buoy's own image, as the lab runs them: its programs from this checkout, with what their pod gives them.

Buoy's manifests can be applied in a lab so, and not only be read. What a container's image holds besides,
its user, its limits and a read-only root are not imitated; its capabilities are, and of its volumes those that
are empty at first: two pods of a node that shared such a one would take each other's files for their own.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buoy.lab.kube_files import API_SERVICE

ACCOUNT_DIRECTORY = "/run/secrets/kubernetes.io/serviceaccount"
_IMAGE = "buoy"
_ENTRYPOINT = (sys.executable, "-m", "buoy.cli.main")

Object = dict[str, Any]


def is_program(pod: Object) -> bool:
    """Tell whether a pod runs Buoy, under whatever registry and tag."""
    return all(_name(container["image"]) == _IMAGE for container in pod["spec"]["containers"])


def _name(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def orders(pod: Object, addresses: Sequence[str], host: Sequence[str]) -> Object:
    """Return what ``pod_runner.py`` is to run in a pod; `addresses` are the pod's, `host` its node's."""
    facts = _facts(pod, addresses, host)
    spec = pod["spec"]
    return {
        "init": [_container(each, facts) for each in spec.get("initContainers", ())],
        "containers": [_container(each, facts) for each in spec["containers"]],
    }


def empty_directories(pod: Object) -> tuple[str, ...]:
    """Return where a pod has directories of its own that outlive its containers (emptyDir)."""
    spec = pod["spec"]
    volumes = {each["name"] for each in spec.get("volumes", ()) if "emptyDir" in each}
    containers = (*spec.get("initContainers", ()), *spec["containers"])
    mounts = [mount for each in containers for mount in each.get("volumeMounts", ()) if mount["name"] in volumes]
    return tuple(sorted({mount["mountPath"] for mount in mounts if not _hides_us(mount["mountPath"])}))


def _hides_us(place: str) -> bool:
    """Tell whether what a pod is to run lies there, as in no image it would: a checkout below /tmp."""
    return any(Path(needed).is_relative_to(place) for needed in (sys.prefix, sys.base_prefix, __file__))


def _container(container: Object, facts: Mapping[str, str]) -> Object:
    words = container.get("command") or _ENTRYPOINT
    stop = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    probe = container.get("readinessProbe", {}).get("httpGet")
    return {
        "name": container["name"],
        "command": [*_confined(container), *words, *container.get("args", ())],
        "environment": {each["name"]: _value(each, facts) for each in container.get("env", ())} | CLUSTER,
        "before_end": stop,
        "probe": _where(container, probe, facts) if probe else [],
    }


CLUSTER = {"KUBERNETES_SERVICE_HOST": API_SERVICE[0], "KUBERNETES_SERVICE_PORT": "443"}
"""What every process in a pod has in its environment."""


def _confined(container: Object) -> list[str]:
    """Return what takes the capabilities that the container gives up, and its life with its pod's."""
    wanted = container.get("securityContext", {}).get("capabilities", {})
    if "ALL" not in wanted.get("drop", ()):
        return ["setpriv", "--pdeathsig", "KILL"]
    kept = [f"+{name.lower()}" for name in wanted.get("add", ())]
    return ["setpriv", "--pdeathsig", "KILL", f"--bounding-set={','.join(['-all', *kept])}"]


def _value(variable: Object, facts: Mapping[str, str]) -> str:
    field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    return facts[field] if field else str(variable.get("value", ""))


def _facts(pod: Object, addresses: Sequence[str], host: Sequence[str]) -> dict[str, str]:
    """Return the fields that an environment variable may name (downward API)."""
    metadata, spec = pod["metadata"], pod["spec"]
    return {
        "metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"], "metadata.uid": metadata["uid"],
        "spec.nodeName": spec["nodeName"], "spec.serviceAccountName": account(pod),
        "status.podIP": addresses[0], "status.podIPs": ",".join(addresses),
        "status.hostIP": host[0], "status.hostIPs": ",".join(host),
    }  # fmt: skip


def _where(container: Object, probe: Object, facts: Mapping[str, str]) -> list[Any]:
    """Return host, port and path of an HTTP probe."""
    named = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
    port = named.get(probe["port"], probe["port"])
    return [probe.get("host") or facts["status.podIP"], port, probe.get("path", "/")]


def account(pod: Object) -> str:
    """Return the service account of a pod."""
    return str(pod["spec"].get("serviceAccountName", "default"))


def token_request(pod: Object) -> tuple[str, Object]:
    """Return where to ask for a token of a pod's account that ends with the pod, and what to ask."""
    metadata = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account(pod)}/token"
    return path, {"spec": {"expirationSeconds": 86400, "boundObjectRef": bound}}
