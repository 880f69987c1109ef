# SPDX-License-Identifier: Apache-2.0
"""Every object that has a say, as JSON: read from an API server, kept in memory, changed there as it would change it.

Promises that nothing in it is shared with a copy of it. The tricky thing is what an
API server does besides storing: a Service that is no load balancer any more loses its
status, a new one gets its families, and one with finalizers is only marked for
deletion. As much of that is done here as addresses and routes depend on.

Sources: RFC 7386; k8s.io pkg/registry/core/service.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from buoy.kubernetes.resources import CALICO, CALICO_TWIN, SERVICE_CIDRS, SERVICES
from buoy.model.errors import Conflict
from buoy.store.api_client import ApiServer, decode
from buoy.store.api_listing import listing
from buoy.store.api_names import ObjectName, Resource, Selection
from buoy.store.api_objects import number
from buoy.store.api_transport import Request

Json: TypeAlias = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_THE_SERVERS = frozenset(
    {"resourceVersion", "uid", "creationTimestamp", "deletionTimestamp", "generation", "managedFields"}
)
_NOW = "2000-01-01T00:00:00Z"
_UNKNOWN = "192.0.0.0"
"""In place of the cluster IP that a new Service will be given: of a network that nobody uses (RFC 6890)."""
_DUAL = frozenset({"PreferDualStack", "RequireDualStack"})


class Inventory:
    """Objects by resource and name."""

    def __init__(self, objects: Mapping[Resource, Mapping[ObjectName, Json]] | None = None) -> None:
        self._objects: dict[Resource, dict[ObjectName, Json]] = {
            resource: dict(found) for resource, found in (objects or {}).items()
        }
        versions = (
            each.get("metadata", {}).get("resourceVersion", "")
            for all_ in self._objects.values()
            for each in all_.values()
        )
        self._version = max(map(number, versions), default=0)

    def copy(self) -> "Inventory":
        """Return one of the same content."""
        return Inventory(copy.deepcopy(self._objects))

    def of(self, resource: Resource) -> Mapping[ObjectName, Json]:
        """Return the objects of a resource."""
        return self._objects.get(resource, {})

    def get(self, resource: Resource, name: ObjectName) -> Json | None:
        """Return an object, None if there is none."""
        return self.of(resource).get(name)

    def put(self, resource: Resource, name: ObjectName, wanted: Json) -> Json:
        """Write an object as it is to be, and return it as it then is; gone if it only waited for its finalizers."""
        self._version += 1
        found = copy.deepcopy(wanted)
        metadata = found.setdefault("metadata", {})
        metadata["resourceVersion"] = str(self._version)
        kept = self._objects.setdefault(resource, {})
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            kept.pop(name, None)
        else:
            kept[name] = found
        return copy.deepcopy(found)

    def create(self, resource: Resource, name: ObjectName, body: Json) -> Json:
        """Make an object; raise `Conflict` if there is one of its name."""
        if self.get(resource, name) is not None:
            raise Conflict(f"{resource} {name} is there already")
        metadata = {"namespace": name.namespace} if name.namespace else {}
        made = merged(_said(body), {"metadata": {**metadata, "name": name.name, "uid": f"planned {resource} {name}"}})
        return self.put(resource, name, self._defaulted(made) if resource == SERVICES else made)

    def apply(self, resource: Resource, name: ObjectName, body: Json) -> None:
        """Change an object as `kubectl apply` does: what was applied before and is no more goes."""
        before = self.get(resource, name)
        if before is None:
            self.create(resource, name, body)
            return
        said = (before.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
        last = msgspec.json.decode(said) if said else {}
        after = merged(merged(before, _gone(last, body)), _said(body))
        if resource == SERVICES and after.get("spec", {}).get("type") != "LoadBalancer":
            after.get("status", {}).pop("loadBalancer", None)
        if after != before:
            self.put(resource, name, after)

    def delete(self, resource: Resource, name: ObjectName) -> bool:
        """Delete an object, or mark it if it has finalizers; tell whether it was there."""
        found = self.get(resource, name)
        if found is None:
            return False
        self.put(resource, name, merged(found, {"metadata": {"deletionTimestamp": _NOW}}))
        return True

    def _defaulted(self, service: Json) -> Json:
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return service
        families = self._families()
        dual = spec.get("ipFamilyPolicy") in _DUAL
        given = {"type": "ClusterIP", "clusterIP": _UNKNOWN, "ipFamilies": families if dual else families[:1]}
        return {**service, "spec": {**given, **spec}}

    def _families(self) -> list[str]:
        """Return the families of cluster IPs, the usual one first."""
        own = self.get(SERVICES, ObjectName("default", "kubernetes")) or {}
        named = [*(own.get("spec", {}).get("ipFamilies") or ["IPv4"])]
        cidrs = [text for each in self.of(SERVICE_CIDRS).values() for text in each.get("spec", {}).get("cidrs") or ()]
        return list(dict.fromkeys((*named, *("IPv6" if ":" in text else "IPv4" for text in cidrs))))


def merged(before: Any, change: Any) -> Any:  # noqa: ANN401  JSON
    """Return JSON with a merge patch applied (RFC 7386)."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    found = dict(before) if isinstance(before, dict) else {}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def _said(body: Json) -> Json:
    """Return what of a body is its writer's to say."""
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in _THE_SERVERS}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def _gone(last: Any, wanted: Any) -> Json:  # noqa: ANN401  JSON
    """Return the patch that takes away what was applied and is not wanted any more."""
    if not isinstance(last, dict) or not isinstance(wanted, dict):
        return {}
    patch: Json = {}
    for key, value in last.items():
        if key not in wanted:
            patch[key] = None
        elif inner := _gone(value, wanted[key]):
            patch[key] = inner
    return patch


async def read_all(api: ApiServer, resources: Sequence[Resource]) -> Inventory:
    """Read every object of some resources; a kind that the server does not know has none."""
    calico = await calico_version(api) if any(each.group == CALICO for each in resources) else ""
    found = {}
    for resource in resources:
        at = resource._replace(version=calico) if resource.group == CALICO else resource
        listed = await listing(api.call, at, Selection(optional=True))
        items = [decode(raw, dict, f"an item of {resource}") for raw in listed.items] if listed else []
        found[resource] = {_name(item): item for item in items}
    return Inventory(found)


class _Version(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    versions: tuple[_Version, ...] = ()


async def calico_version(api: ApiServer) -> str:
    """Return the version by which Calico's objects are read: the API server's own, where there are two."""
    found = await api.call(Request("GET", f"/apis/{CALICO}"), f"ask for versions of {CALICO}")
    served = {each.version for each in decode(found, _Group, CALICO).versions} if found else set()
    return CALICO_TWIN if CALICO_TWIN in served else "v3"


def _name(found: Json) -> ObjectName:
    metadata = found.get("metadata", {})
    return ObjectName(metadata.get("namespace", ""), metadata.get("name", ""))
