# SPDX-License-Identifier: Apache-2.0
"""Objects of a file that is to be applied: Kubernetes' own, Calico's, MetalLB's, and Buoy's in either notation.

Promises that each is found in the inventory under the name it has in the API server.
What Buoy does not read is told and passed over: files hold Deployments, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from buoy.kubernetes import own
from buoy.kubernetes.inventory import Inventory, Json
from buoy.kubernetes.resources import (
    ADDRESS_POOLS,
    BGP_CONFIGURATIONS,
    BGP_FILTERS,
    BGP_PEERS,
    CALICO,
    KINDS,
    NAMESPACES,
    NODES,
    SERVICE_CIDRS,
    SERVICES,
    SLICES,
)
from buoy.model import documents
from buoy.model.errors import InvalidInput
from buoy.store.api_names import ObjectName, Resource
from buoy.store.yaml_documents import items, parse

INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", namespaced=True)
CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", namespaced=False)

_KINDS: Mapping[tuple[str, str], Resource] = {
    ("", "Service"): SERVICES,
    ("", "Node"): NODES,
    ("", "Namespace"): NAMESPACES,
    ("discovery.k8s.io", "EndpointSlice"): SLICES,
    ("networking.k8s.io", "Ingress"): INGRESSES,
    ("networking.k8s.io", "IngressClass"): CLASSES,
    ("networking.k8s.io", "ServiceCIDR"): SERVICE_CIDRS,
    ("metallb.io", "IPAddressPool"): ADDRESS_POOLS,
    (CALICO, "BGPConfiguration"): BGP_CONFIGURATIONS,
    (CALICO, "BGPPeer"): BGP_PEERS,
    (CALICO, "BGPFilter"): BGP_FILTERS,
    **{(kind.resource.group, kind.kind): kind.resource for kind in KINDS},
}


class Change(NamedTuple):
    """An object to be applied, or deleted; only its name counts then."""

    resource: Resource
    name: ObjectName
    body: Json

    def __str__(self) -> str:
        return f"{self.resource} {self.name}"


class Read(NamedTuple):
    """What a file holds; `passed` names what Buoy does not read."""

    changes: tuple[Change, ...]
    passed: tuple[str, ...]


def load(source: Path, namespace: str = "default") -> Read:
    """Return the objects of a file or directory; raise `InvalidInput` naming file, document and remedy.

    `namespace` is that of objects which name none.
    """
    changes, passed = [], []
    for where, item in _flat(items(source)):
        found = item if "apiVersion" in item else _object(item, where)
        kind, named = str(found.get("kind")), found.get("metadata")
        metadata: Json = named if isinstance(named, dict) else {}
        name = metadata.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"{where}.metadata.name", name, "name the object")
        resource = _KINDS.get((str(found["apiVersion"]).rpartition("/")[0], kind))
        if resource is None:
            passed.append(f"{kind} {name}")
            continue
        within = str(metadata.get("namespace") or namespace) if resource.namespaced else ""
        changes.append(Change(resource, ObjectName(within, name), found))
    return Read(tuple(changes), tuple(passed))


def _object(item: Json, where: str) -> Json:
    document = parse(item, where)
    return own.encode(documents.path(document), document)


def change(objects: Inventory, asked: Change, *, delete: bool = False) -> None:
    """Apply an object as kubectl does, or delete it."""
    if delete:
        objects.delete(asked.resource, asked.name)
    else:
        objects.apply(asked.resource, asked.name, asked.body)


def _flat(found: Iterable[tuple[str, object]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, item in found:
        if not isinstance(item, dict):
            raise InvalidInput(
                where, item, "write an object that begins with `apiVersion:`, or a document with `kind:`"
            )
        if item.get("kind") == "List" and isinstance(item.get("items"), list):
            yield from _flat((f"{where} item {number}", each) for number, each in enumerate(item["items"], 1))
        else:
            yield where, item
