# SPDX-License-Identifier: Apache-2.0
"""The endpoints that Kubernetes will find for a Service that is new, or selects other pods.

Promises what its EndpointSlice controller does with pods as they are, as far as routes
depend on it: who is selected, on which node, and whether it is ready or leaving.

Source: k8s.io/endpointslice, reconciler and utils.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from buoy.kubernetes.endpoints import FAMILIES, SERVICE_LABEL
from buoy.kubernetes.inventory import Inventory, Json
from buoy.kubernetes.resources import SERVICES, SLICES
from buoy.store.api_names import ObjectName, Resource

PODS = Resource("", "v1", "pods", namespaced=True)

_ENDED = frozenset({"Succeeded", "Failed"})


def selectors(objects: Inventory, names: Iterable[ObjectName]) -> dict[ObjectName, Mapping[str, str]]:
    """Return which labels these Services select by; those that select none are left out."""
    found = {name: (objects.get(SERVICES, name) or {}).get("spec", {}).get("selector") for name in names}
    return {name: selector for name, selector in found.items() if selector}


def select(objects: Inventory, chosen: Mapping[ObjectName, Mapping[str, str]]) -> None:
    """Give Services the endpoints that the pods are which they select, in place of those they have."""
    for name, selector in chosen.items():
        service = objects.get(SERVICES, name)
        for at, found in tuple(objects.of(SLICES).items()):
            labels = found.get("metadata", {}).get("labels") or {}
            if at.namespace == name.namespace and labels.get(SERVICE_LABEL) == name.name:
                objects.delete(SLICES, at)
        for of_family in (service or {}).get("spec", {}).get("ipFamilies") or ["IPv4"]:
            endpoints = list(_endpoints(objects, name.namespace, selector, FAMILIES[of_family]))
            metadata = {"name": f"{name.name}-{of_family.lower()}", "labels": {SERVICE_LABEL: name.name}}
            made = {"metadata": metadata, "addressType": of_family, "endpoints": endpoints}
            objects.apply(SLICES, ObjectName(name.namespace, str(metadata["name"])), made)


def _endpoints(objects: Inventory, namespace: str, selector: Mapping[str, str], version: int) -> Iterator[Json]:
    for name, pod in objects.of(PODS).items():
        labels = pod.get("metadata", {}).get("labels") or {}
        addresses = [each.get("ip", "") for each in pod.get("status", {}).get("podIPs") or ()]
        own = [each for each in addresses if (6 if ":" in each else 4) == version]
        if name.namespace == namespace and selector.items() <= labels.items() and own and not _has_ended(pod):
            yield {"addresses": own, "nodeName": pod["spec"].get("nodeName"), "conditions": _conditions(pod)}


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in _ENDED or not pod.get("spec", {}).get("nodeName")


def _conditions(pod: Mapping[str, Any]) -> dict[str, bool]:
    said = pod.get("status", {}).get("conditions") or ()
    serving = any(each.get("type") == "Ready" and each.get("status") == "True" for each in said)
    leaving = bool(pod["metadata"].get("deletionTimestamp"))
    return {"ready": serving and not leaving, "serving": serving, "terminating": leaving}
