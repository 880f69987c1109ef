# SPDX-License-Identifier: Apache-2.0
"""What the controller follows in the API server, and how it comes into the world.

Promises that nothing of a world is used before every list was complete. The tricky
thing is an object that cannot be read: a claim takes its address all the same, a
pool stays what it last was, and a Service is left as it is; each is told once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from buoy.controller.claims import CLAIM_OBJECT, CLAIMS, claim_of
from buoy.controller.objects import Service
from buoy.controller.subject import Claim
from buoy.controller.world import World
from buoy.kubernetes.foreign import IPAddressPool
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.own import STRUCTS
from buoy.kubernetes.resources import ADDRESS_POOLS, KINDS, NAMESPACES, SERVICES
from buoy.kubernetes.translate import Translation
from buoy.model.errors import InvalidInput
from buoy.model.pool import Pool
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from buoy.store.api_names import ObjectName, Resource, Selection
from buoy.store.api_objects import News
from buoy.store.store import Reporter

POOLS = next(kind.resource for kind in KINDS if kind.struct is Pool)
_POOL = "pools/"

Complain = Callable[[Resource, ObjectName, str], None]
"""Hears of an object that cannot be read, and why."""


def informers(api: ApiServer, reporter: Reporter) -> list[Informer[Any]]:
    """Return what is followed; MetalLB's pools are, if there are any."""
    structs: dict[Resource, Any] = {
        SERVICES: Service,
        NAMESPACES: Namespace,
        POOLS: STRUCTS[POOLS],
        CLAIMS: CLAIM_OBJECT,
    }
    found = [Informer(api, resource, struct, reporter) for resource, struct in structs.items()]
    foreign = Informer(api, ADDRESS_POOLS, IPAddressPool, reporter, Selection(optional=True))
    return [*found, foreign]


class Observer:
    """Takes news of several resources into a world."""

    def __init__(self, world: World, complain: Complain) -> None:
        self._world = world
        self._complain = complain
        self._pools = Translation()
        self._told: dict[tuple[Resource, ObjectName], str] = {}

    def take(self, told: Mapping[Resource, News[Any]]) -> None:
        """Hear of everything that came at once; pools and claims first, so that Services are judged by them."""
        for resource in (POOLS, ADDRESS_POOLS, NAMESPACES, CLAIMS, SERVICES):
            news = told.get(resource)
            if news is not None:
                self._take(resource, news)

    def _take(self, resource: Resource, news: News[Any]) -> None:
        for name in news.changed:
            self._told.pop((resource, name), None)
        for name, why in news.broken.items():
            self._tell(resource, name, why)
        if resource == SERVICES:
            self._world.hear_services(news)
        elif resource == NAMESPACES:
            self._world.hear_namespaces(news)
        elif resource == CLAIMS:
            self._world.hear_claims(self._claims(news))
        else:
            self._take_pools(resource, news)

    def _claims(self, news: News[Any]) -> News[Claim]:
        changed: dict[ObjectName, Claim | None] = {}
        broken = dict(news.broken)
        for name, found in news.changed.items():
            try:
                changed[name] = claim_of(found) if found is not None else None
            except InvalidInput as error:
                broken[name] = str(error)
                self._tell(CLAIMS, name, str(error))
        return News(news.complete, changed, broken, news.revision, news.listed)

    def _take_pools(self, resource: Resource, news: News[Any]) -> None:
        for path, pool in self._pools.take(resource, news.changed, news.broken).items():
            if path.startswith(_POOL):
                assert pool is None or isinstance(pool, Pool)
                self._world.hear_pool(path.removeprefix(_POOL), pool)
        for path, why in self._pools.broken.items():
            self._tell(resource, ObjectName("", path.removeprefix(_POOL)), why)

    def _tell(self, resource: Resource, name: ObjectName, why: str) -> None:
        if self._told.get((resource, name)) != why:
            self._told[resource, name] = why
            self._complain(resource, name, why)
