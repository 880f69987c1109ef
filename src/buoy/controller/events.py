# SPDX-License-Identifier: Apache-2.0
"""Events: what people read under `kubectl describe`.

Promises: a *no* has its Event for as long as it stands, one object however often it is
said; no allocation ever waits for an Event. The tricky thing: the API server forgets
Events after an hour, and `describe` shows nothing else of a condition, so what still
stands is said again as a series before that.

Sources: events.k8s.io/v1; KEP-383.
"""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from buoy.controller.step import Tell
from buoy.controller.writes import Api
from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.model.service_ip import Identity, Owner
from buoy.store.api_names import ObjectName, Resource

EVENTS = Resource("events.k8s.io", "v1", "events", namespaced=True)
REPORTER = "buoy.dev/controller"
REPEAT = dt.timedelta(minutes=30)
"""Until what still stands is said again."""

_LONGEST_NOTE = 1024
_LONGEST_NAME = 200
_RETRY = 1.0
_MOST_WAITING = 20_000
_API_VERSIONS = {"Service": "v1", "Ingress": "networking.k8s.io/v1"}


class Standing(NamedTuple):
    """A *no* that stands: of whom, what, and when it is to be said again."""

    owner: Owner
    tell: Tell
    due: dt.datetime


class Series(msgspec.Struct, frozen=True, rename="camel"):
    """How often an Event was seen."""

    count: int = 1


class Event(msgspec.Struct, frozen=True):
    """As much of an Event as is read."""

    series: Series | None = None


class Events:
    """Events on their way to the API server; `reporter` names this process, `clock` gives the time in UTC."""

    def __init__(self, api: Api, reporter: str, clock: Callable[[], dt.datetime]) -> None:
        self._api = api
        self._reporter = reporter
        self._clock = clock
        self._waiting: dict[tuple[Owner, Tell], None] = {}
        self._standing: dict[Identity, Standing] = {}
        self._woken = asyncio.Event()

    def tell(self, owner: Owner, tell: Tell) -> None:
        """Say something of an object once."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting[owner, tell] = None
            self._woken.set()

    def stand(self, owner: Owner, tell: Tell) -> bool:
        """Say something of an object again and again, until `fall` or something else stands; tell whether it is new."""
        before = self._standing.get(owner.identity)
        if before is None or before[:2] != (owner, tell):
            # the first one is told by the step that wrote the condition; after a restart that was long ago, perhaps
            self._standing[owner.identity] = Standing(owner, tell, self._clock() + REPEAT / 10)
            return True
        return False

    def fall(self, identity: Identity) -> None:
        """Say no more of an object."""
        self._standing.pop(identity, None)

    def repeat(self) -> None:
        """Tell what is due to be said again."""
        now = self._clock()
        for identity, (owner, tell, due) in self._standing.items():
            if due <= now:
                self._standing[identity] = Standing(owner, tell, now + REPEAT)
                self.tell(owner, tell)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            while self._waiting:
                await self._next(*next(iter(self._waiting)))
            self._woken.clear()
            await self._woken.wait()

    async def _next(self, owner: Owner, tell: Tell) -> None:
        try:
            await self._write(owner, tell)
        except StoreUnavailable:
            await asyncio.sleep(_RETRY)
            if len(self._waiting) < _MOST_WAITING // 2:
                return
        except BuoyError:
            # another counts the same series, or the namespace is going, or our account lacks the right
            pass
        self._waiting.pop((owner, tell), None)

    async def _write(self, owner: Owner, tell: Tell) -> None:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = event(owner, tell, self._reporter, now)
        try:
            await self._api.create(EVENTS, owner.namespace, body, Event)
        except Conflict:
            at = EVENTS.at(ObjectName(owner.namespace, body["metadata"]["name"]))
            found = await self._api.get(at, Event)
            count = found.series.count + 1 if found and found.series else 2
            await self._api.patch(at, {"series": {"count": count, "lastObservedTime": now}}, Event)


def event(owner: Owner, tell: Tell, reporter: str, now: str) -> dict[str, Any]:
    """Return the Event that says something of an object; what says the same has the same name."""
    said = f"{owner.uid} {tell.reason} {tell.message}".encode()
    name = f"{owner.name[:_LONGEST_NAME]}.{hashlib.sha256(said).hexdigest()[:16]}"
    return {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": name, "namespace": owner.namespace},
        "eventTime": now,
        "reportingController": REPORTER,
        "reportingInstance": reporter,
        "action": "Allocate",
        "reason": tell.reason,
        "type": "Warning" if tell.warning else "Normal",
        "note": tell.message[:_LONGEST_NOTE],
        "regarding": {
            "apiVersion": _API_VERSIONS.get(owner.kind, "v1"),
            "kind": owner.kind,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    }
