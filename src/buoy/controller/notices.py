# SPDX-License-Identifier: Apache-2.0
"""What of Calico's and MetalLB's objects, and of Buoy's own for BGP, is in force, said in a condition of each.

Promises that a field which is read and not honoured is named where `kubectl get` and `kubectl describe` show it,
and that nothing is written while nothing differs. Agents translate by the same functions, so it is what they do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from buoy.controller.lives import Lives
from buoy.controller.unworkable import speaks_already, unworkable
from buoy.controller.writes import Api
from buoy.kubernetes.bgp_configuration import NOT_HONOURED
from buoy.kubernetes.resources import ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS, kind_at, object_name
from buoy.kubernetes.structs import needed
from buoy.kubernetes.translate import Translation
from buoy.model.errors import BuoyError
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.writer import Moment
from buoy.planner.rivals import rivals
from buoy.store.api_names import ObjectName, Resource
from buoy.store.api_objects import News

CONDITION = "buoy.dev/InForce"
IGNORES = "PartlyHonoured"
"""The reason where all that is told is fields which this version does not honour; else something is wrong."""
PAUSE = 5.0
"""Seconds until conditions that could not be written are tried again."""

RESOURCES = needed(("settings/", "peers/", "filters/", "pools/"))
"""What has a say in how foreign objects are read."""

_OWN = tuple(kind_at(path).resource for path in ("settings/bgp", "peers/NAME", "filters/NAME"))
_JUDGED = (BGP_CONFIGURATIONS, BGP_PEERS, BGP_FILTERS, ADDRESS_POOLS, *_OWN)


class Feed(Protocol):
    """What is used of `kubernetes.feed.Feed`."""

    def news(self, patience: Callable[[], float | None]) -> AsyncIterator[Mapping[Resource, News[Any]]]:
        """Yield what is new by resource; nothing of any after `patience()` seconds without."""

    def at(self, resource: Resource) -> Resource:
        """Return the version by which a resource is followed."""


class _Status(msgspec.Struct, frozen=True):
    conditions: tuple[dict[str, Any], ...] | None = None


class _Judged(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class Notices:
    """The conditions of foreign objects on their way to the API server; `complain` hears why they wait."""

    def __init__(self, api: Api, feed: Feed, clock: Callable[[], Moment], complain: Callable[[str], None]) -> None:
        self._api = api
        self._feed = feed
        self._clock = clock
        self._complain = complain
        self._translation = Translation()
        self._said: dict[tuple[Resource, ObjectName], str | None] = {}
        """Of each object that is there, what is known to stand in its condition."""
        self._lives = {resource: Lives() for resource in _JUDGED}
        self._waits = False

    async def run(self) -> None:
        """Follow and write until cancelled."""
        async for told in self._feed.news(lambda: PAUSE if self._waits else None):
            self._take(told)
            self._waits = False
            notices, found = self._translation.notices, {**self._contested(), **self._unworkable()}
            for resource, name in tuple(self._said):
                at = f"{resource}/{name}"
                await self._tell(resource, name, (*notices.get(at, ()), *found.get(at, ())))

    def _take(self, told: Mapping[Resource, News[Any]]) -> None:
        for resource in RESOURCES:
            if (news := told.get(resource)) is None:
                continue
            self._translation.take(resource, news.changed, news.broken)
            if resource not in _JUDGED:
                continue
            for name in self._lives[resource].renewed(news):
                self._said[resource, name] = None
            for name, found in news.changed.items():
                if found is None:
                    self._said.pop((resource, name), None)

    def _contested(self) -> dict[str, tuple[str, ...]]:
        """Return which objects another of their kind keeps from a neighbour; one with a peerSelector has many peers."""
        documents = self._translation.documents.values()
        peers = [found for found in documents if isinstance(found, Peer) and found.fallback]
        told: dict[str, tuple[str, ...]] = {}
        for name, other in rivals(peers).items():
            told.setdefault(self._translation.origin(f"peers/{name}"), (speaks_already(other),))
        return told

    def _unworkable(self) -> dict[str, tuple[str, ...]]:
        """Return what is wrong with Buoy's own that came past the door; what others say is judged as it is read."""
        known = self._translation.documents
        stand = {
            path: (kind_at(path).resource, object_name(path))
            for path, each in known.items()
            if isinstance(each, BGPSettings | Peer | Filter)
        }
        own = [known[path] for path, at in stand.items() if at in self._said]
        return {"{}/{}".format(*stand[path]): said for path, said in unworkable(own, known).items()}

    async def _tell(self, resource: Resource, name: ObjectName, told: Sequence[str]) -> None:
        message = "; ".join(told)
        if self._said[resource, name] == message:
            return
        at = self._feed.at(resource).at(name, "status")
        try:
            found = await self._api.get(at, _Judged)
            conditions = (found.status.conditions if found else None) or ()
            if found is not None and not _stands(conditions, told):
                said = _condition(told, self._clock())
                others = [each for each in conditions if each.get("type") != CONDITION]
                await self._api.patch(at, {"status": {"conditions": [*others, said]}}, _Judged)
            self._said[resource, name] = message
        except BuoyError as error:
            self._waits = True
            self._complain(f"{resource}/{name}: {error}")
        # a condition is worth no haste: Services wait for the same API server
        await asyncio.sleep(0)


def _stands(conditions: Iterable[Mapping[str, Any]], told: Sequence[str]) -> bool:
    ours = [each for each in conditions if each.get("type") == CONDITION]
    wanted = _condition(told, None)
    return bool(ours) and all(ours[0].get(field) == wanted[field] for field in ("status", "reason", "message"))


def _condition(told: Sequence[str], now: Moment | None) -> dict[str, Any]:
    wrong = IGNORES if all(NOT_HONOURED in each for each in told) else "NotInForce"
    return {
        "type": CONDITION,
        "status": "False" if told else "True",
        "reason": wrong if told else "Honoured",
        "message": "; ".join(told),
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ") if now else "",
    }
