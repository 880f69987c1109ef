# SPDX-License-Identifier: Apache-2.0
"""As much of an API server as a controller builds on, in memory.

Versions that grow, compare-and-set, finalizers, statuses that only their
subresource writes and that a Service loses with its type.
"""

import copy
from typing import Any, NamedTuple

from buoy.kubernetes.resources import SERVICES
from buoy.model.errors import Conflict
from buoy.store.api_names import ObjectName, Resource, Target

Json = dict[str, Any]


class Change(NamedTuple):
    """One line of the server's history; `found` None: deleted."""

    version: int
    resource: Resource
    name: ObjectName
    found: Json | None


class Server:
    """The objects, and the history of their changes."""

    def __init__(self) -> None:
        self.version = 0
        self.objects: dict[tuple[Resource, ObjectName], Json] = {}
        self.history: list[Change] = []
        self.writes = 0

    def get(self, target: Target) -> Json | None:
        return copy.deepcopy(self.objects.get((target.resource, target.name)))

    def create(self, resource: Resource, namespace: str, body: Json) -> Json:
        name = ObjectName(namespace, body["metadata"]["name"])
        if (resource, name) in self.objects:
            raise Conflict(f"{resource} {name} is there already")
        found = copy.deepcopy(body)
        found["metadata"] |= {"namespace": namespace, "uid": f"uid-{self.version + 1}"}
        return self._put(resource, name, found)

    def patch(self, target: Target, body: Any, kind: str = "merge") -> Json | None:  # noqa: ANN401  JSON
        before = self.objects.get((target.resource, target.name))
        if before is None:
            return None
        after = merged(before, body) if kind == "merge" else changed(before, body)
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Conflict(f"{target} is of another version")
        if after["metadata"].get("uid") != before["metadata"].get("uid"):
            raise Conflict(f"{target} is another")
        if target.resource == SERVICES:
            after = _service(before, after, status=target.subresource == "status")
        if after == before:
            return copy.deepcopy(before)
        return self._put(target.resource, target.name, after)

    def delete(self, target: Target, revision: str = "") -> bool:
        found = self.objects.get((target.resource, target.name))
        if found is None:
            return False
        if revision and found["metadata"]["resourceVersion"] != revision:
            raise Conflict(f"{target} is of another version")
        if found["metadata"].get("finalizers"):
            leaving = copy.deepcopy(found)
            leaving["metadata"].setdefault("deletionTimestamp", "2026-11-21T12:00:00Z")
            self._put(target.resource, target.name, leaving)
        else:
            self._drop(target.resource, target.name)
        return True

    def _put(self, resource: Resource, name: ObjectName, found: Json) -> Json:
        if "deletionTimestamp" in found["metadata"] and not found["metadata"].get("finalizers"):
            self._drop(resource, name)
            return copy.deepcopy(found)
        self.version += 1
        self.writes += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.objects[resource, name] = found
        self.history.append(Change(self.version, resource, name, copy.deepcopy(found)))
        return copy.deepcopy(found)

    def _drop(self, resource: Resource, name: ObjectName) -> None:
        self.version += 1
        del self.objects[resource, name]
        self.history.append(Change(self.version, resource, name, None))


def _service(before: Json, after: Json, *, status: bool) -> Json:
    if status:
        return {**copy.deepcopy(before), "status": after.get("status", {})}
    after = {**after, "status": copy.deepcopy(before.get("status", {}))}
    if after["spec"].get("type") != "LoadBalancer":
        after["status"].pop("loadBalancer", None)
    return after


def merged(before: Any, change: Any) -> Any:  # noqa: ANN401  JSON
    """RFC 7386."""
    if not isinstance(change, dict) or not isinstance(before, dict):
        return copy.deepcopy(change)
    found = {key: copy.deepcopy(value) for key, value in before.items()}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key, {}) if isinstance(value, dict) else None, value)
    return found


def changed(before: Json, changes: list[Json]) -> Json:
    """As much of RFC 6902 as is used: to replace."""
    found = copy.deepcopy(before)
    for change in changes:
        assert change["op"] == "replace"
        *parents, last = change["path"].strip("/").split("/")
        place = found
        for part in parents:
            place = place[part]
        place[last] = copy.deepcopy(change["value"])
    return found
