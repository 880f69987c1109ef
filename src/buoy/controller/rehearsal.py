# SPDX-License-Identifier: Apache-2.0
"""The controller at work on objects in memory: what it would write to an API server that had these objects.

Promises that nothing is decided here: the controller's own pass runs until it rests,
on answers that this gives in an API server's place. The tricky thing is what it knows
when a change comes: what the running one knows, so it first hears the objects as they
are, and then what differs.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
import structlog

from buoy.controller.events import Events
from buoy.controller.metrics import Metrics
from buoy.controller.observe import FOLLOWED, SPARE, Observer
from buoy.controller.reading import Ours
from buoy.controller.work import Tools, Work
from buoy.controller.world import World
from buoy.controller.writes import Writes
from buoy.kubernetes.inventory import Inventory, Json, merged
from buoy.model.errors import Conflict
from buoy.store.api_names import ObjectName, Resource, Target
from buoy.store.api_objects import News

READ: Mapping[Resource, Any] = {**FOLLOWED, **SPARE}
"""The struct of each resource the controller follows."""

T = TypeVar("T")


class Rehearsal:
    """A controller over an inventory, which holds what it wrote; to be made and used in a running event loop."""

    def __init__(self, objects: Inventory, ours: Ours, clock: Callable[[], dt.datetime]) -> None:
        self.objects = objects
        self.broken: dict[str, str] = {}
        """Why an object cannot be read, by resource and name."""
        self._world = World(ours)
        api = _Api(objects)
        metrics = Metrics()
        metrics.log = structlog.wrap_logger(None, processors=[_drop])
        self._work = Work(self._world, Tools(Writes(api), Events(api, "", clock), metrics, clock), lambda: None)
        self._observer = Observer(self._world, self._complain)
        self._heard: dict[Resource, dict[ObjectName, Json]] = {resource: {} for resource in READ}

    async def rest(self) -> None:
        """Hear what differs from what was heard, and let the work write until nothing is left to do."""
        self._observer.take({resource: self._news(resource) for resource in READ})
        while not self._work.rests:
            self._work.run_pass()
            await asyncio.sleep(0)

    async def begin(self) -> None:
        """Do what is done by who begins to lead."""
        self._observer.take({resource: self._news(resource) for resource in READ})
        self._world.everything()
        await self.rest()

    def remarks(self, pool: str) -> tuple[str, ...]:
        """Return what a pool overlaps."""
        return self._world.pools.remarks(pool)

    def _news(self, resource: Resource) -> News[Any]:
        heard, now = self._heard[resource], self.objects.of(resource)
        # most are the very same, which need not be compared
        suspects = {name: found for name, found in now.items() if heard.get(name) is not found}
        different = {name: found for name, found in suspects.items() if heard.get(name) != found}
        changed: dict[ObjectName, Any] = {name: None for name in heard if name not in now}
        broken: dict[ObjectName, str] = {}
        for name, found in different.items():
            try:
                changed[name] = msgspec.convert(found, READ[resource])
            except msgspec.ValidationError as error:
                broken[name] = str(error)
        listed = not heard
        self._heard[resource] = dict(now)
        return News(listed, changed, broken, 0, listed)

    def _complain(self, resource: Resource, name: ObjectName, why: str) -> None:
        self.broken[f"{resource}/{name}"] = why


class _Api:
    """As much of `ApiServer` as the controller's work uses; see `writes.Api`."""

    def __init__(self, objects: Inventory) -> None:
        self._objects = objects

    async def get(self, target: Target, into: type[T]) -> T | None:
        found = self._objects.get(target.resource, target.name)
        return None if found is None else msgspec.convert(found, into)

    async def create(self, resource: Resource, namespace: str, body: object, into: type[T]) -> T:
        wanted = _plain(body)
        name = ObjectName(namespace, wanted["metadata"]["name"])
        return msgspec.convert(self._objects.create(resource, name, wanted), into)

    async def patch(
        self, target: Target, body: object, into: type[T], kind: Literal["merge", "json"] = "merge"
    ) -> T | None:
        before = self._objects.get(target.resource, target.name)
        if before is None:
            return None
        after = merged(before, _plain(body)) if kind == "merge" else _replaced(before, _plain(body))
        if after["metadata"].get("resourceVersion") != before["metadata"].get("resourceVersion"):
            raise Conflict(f"{target} is of another version")
        return msgspec.convert(self._objects.put(target.resource, target.name, after), into)

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        assert not uid
        found = self._objects.get(target.resource, target.name)
        if found is not None and revision not in {"", found["metadata"].get("resourceVersion")}:
            raise Conflict(f"{target} is of another version")
        return self._objects.delete(target.resource, target.name)


def _plain(body: object) -> Any:  # noqa: ANN401  JSON
    return msgspec.json.decode(msgspec.json.encode(body))


def _replaced(before: Json, changes: list[Json]) -> Json:
    """Return an object with parts replaced: as much of RFC 6902 as the controller uses."""
    found = before
    for change in changes:
        inner: Any = change["value"]
        for part in reversed(change["path"].strip("/").split("/")[1:]):
            inner = {part: inner}
        top = change["path"].strip("/").partition("/")[0]
        found = {**found, top: {**found[top], **inner} if "/" in change["path"][1:] else inner}
    return found


def _drop(_logger: object, _method: str, _said: Mapping[str, object]) -> Any:  # noqa: ANN401  structlog's own
    raise structlog.DropEvent
