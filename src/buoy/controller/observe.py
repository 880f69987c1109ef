# SPDX-License-Identifier: Apache-2.0
"""What the controller follows in the API server, and how it comes into the world.

Promises that nothing of a world is used before every list was complete. The tricky
thing is an object that cannot be read: a claim takes its address all the same, a
pool stays what it last was, and a Service is left as it is; each is told once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from buoy.controller.claims import CLAIM_OBJECT, CLAIMS, claim_of, of_cluster
from buoy.controller.fronts import CLASSES, INGRESSES, Ingress, IngressClass
from buoy.controller.lives import Lives
from buoy.controller.objects import Service
from buoy.controller.subject import Claim
from buoy.controller.world import World
from buoy.ipam.overlap import Occupied, occupied
from buoy.kubernetes.eligibility import translate_node
from buoy.kubernetes.foreign import IPAddressPool
from buoy.kubernetes.networks import ServiceCIDR, prefixes
from buoy.kubernetes.objects import Namespace, Node
from buoy.kubernetes.own import STRUCTS
from buoy.kubernetes.pods import Pod
from buoy.kubernetes.resources import ADDRESS_POOLS, KINDS, NAMESPACES, NODES, PODS, SERVICE_CIDRS, SERVICES
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

IF_ANY = Selection(optional=True)

FOLLOWED: Mapping[Resource, Any] = {
    SERVICES: Service,
    INGRESSES: Ingress,
    CLASSES: IngressClass,
    NAMESPACES: Namespace,
    NODES: Node,
    PODS: Pod,
    POOLS: STRUCTS[POOLS],
    CLAIMS: CLAIM_OBJECT,
}
SPARE: Mapping[Resource, Any] = {ADDRESS_POOLS: IPAddressPool, SERVICE_CIDRS: ServiceCIDR}
"""What is followed where the server knows such kinds: MetalLB's pools, and networks of cluster IPs."""

Complain = Callable[[Resource, ObjectName, str], None]
"""Hears of an object that cannot be read, and why."""


def informers(api: ApiServer, reporter: Reporter) -> list[Informer[Any]]:
    """Return what is followed."""
    found = [Informer(api, resource, struct, reporter) for resource, struct in FOLLOWED.items()]
    spare = (Informer(api, resource, struct, reporter, IF_ANY) for resource, struct in SPARE.items())
    return [*found, *spare]


class Observer:
    """Takes news of several resources into a world."""

    def __init__(self, world: World, complain: Complain) -> None:
        self._world = world
        self._complain = complain
        self._translation = Translation()
        self._pool_lives = Lives()
        self._told: dict[tuple[Resource, ObjectName], str] = {}

    def take(self, told: Mapping[Resource, News[Any]]) -> None:
        """Hear of everything that came at once; pools and claims first, so that Services are judged by them."""
        for resource in (
            NODES,
            SERVICE_CIDRS,
            POOLS,
            ADDRESS_POOLS,
            NAMESPACES,
            CLAIMS,
            CLASSES,
            INGRESSES,
            SERVICES,
            PODS,
        ):
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
        elif resource == PODS:
            self._world.hear_pods(news)
        elif resource == INGRESSES:
            self._world.hear_ingresses(news)
        elif resource == CLASSES:
            self._world.hear_classes(news)
        elif resource == NAMESPACES:
            self._world.hear_namespaces(news)
        elif resource == CLAIMS:
            self._world.hear_claims(self._claims(news))
        elif resource == NODES:
            self._take_nodes(news)
        elif resource == SERVICE_CIDRS:
            self._take_networks(news)
        else:
            self._take_pools(resource, news)

    def _claims(self, news: News[Any]) -> News[Claim]:
        changed: dict[ObjectName, Claim | None] = {}
        broken, cluster = dict(news.broken), self._world.ours.cluster
        for name, found in news.changed.items():
            try:
                changed[name] = of_cluster(claim_of(found), cluster) if found is not None else None
            except InvalidInput as error:
                broken[name] = str(error)
                self._tell(CLAIMS, name, str(error))
        return News(news.complete, changed, broken, news.revision, news.listed)

    def _take_pools(self, resource: Resource, news: News[Any]) -> None:
        if resource == POOLS:
            renewed = {each.name for each in self._pool_lives.renewed(news)}
            self._world.pools.renewed |= renewed
            self._world.stir(renewed)
        for path, pool in self._translation.take(resource, news.changed, news.broken).items():
            if path.startswith(_POOL):
                assert pool is None or isinstance(pool, Pool)
                self._hear(self._world.pools.put(path.removeprefix(_POOL), pool))
        for path, why in self._translation.broken.items():
            self._tell(resource, ObjectName("", path.removeprefix(_POOL)), why)

    def _take_nodes(self, news: News[Node]) -> None:
        for name, node in news.changed.items():
            uses = occupied(translate_node(node)) if node is not None else ()
            self._hear(self._world.pools.occupy(f"node {name}", uses))

    def _take_networks(self, news: News[ServiceCIDR]) -> None:
        for name, network in news.changed.items():
            try:
                found = prefixes(network) if network is not None else ()
            except InvalidInput as error:
                self._tell(SERVICE_CIDRS, name, str(error))
                continue
            uses = [Occupied(prefix, "for cluster IPs") for prefix in found]
            self._hear(self._world.pools.occupy(f"network {name}", uses))

    def _hear(self, pools: Mapping[str, Pool | None]) -> None:
        for name, pool in pools.items():
            self._world.hear_pool(name, pool)

    def _tell(self, resource: Resource, name: ObjectName, why: str) -> None:
        if self._told.get((resource, name)) != why:
            self._told[resource, name] = why
            self._complain(resource, name, why)
