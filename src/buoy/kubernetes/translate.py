# SPDX-License-Identifier: Apache-2.0
"""Translate Kubernetes' objects into documents, one change at a time. Pure: objects in, documents out.

Promises: after any sequence of changes the documents are those of the objects that
are there, as if they had come at once; and what is returned is exactly what differs.
An object that says what cannot be is told in `broken`, and its last good state stays
in force. What of a foreign object is read and not honoured is told in `notices`.

The tricky thing: some documents have several parents. A service IP is its Services,
their slices, the nodes and the claim; the settings are BGPConfiguration, BGPSettings
and every pool; a peer follows the labels of nodes, and the cluster's AS.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from buoy.kubernetes import own
from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.calico import Calico
from buoy.kubernetes.cluster_settings import ClusterSettings
from buoy.kubernetes.eligibility import translate_node
from buoy.kubernetes.foreign import BGPConfiguration, BGPFilter, BGPPeer, IPAddressPool
from buoy.kubernetes.layers import Layers, Source
from buoy.kubernetes.metallb import translate_pool
from buoy.kubernetes.networks import ServiceCIDR, prefixes
from buoy.kubernetes.objects import EndpointSlice, Node, Service
from buoy.kubernetes.pods import Pod
from buoy.kubernetes.resources import (
    ADDRESS_POOLS,
    BGP_CONFIGURATIONS,
    BGP_FILTERS,
    BGP_PEERS,
    BY_PLURAL,
    BY_RESOURCE,
    GROUP,
    KINDS,
    NODES,
    PODS,
    SERVICE_CIDRS,
    SERVICES,
    SLICES,
)
from buoy.kubernetes.services import Services
from buoy.model import documents, validate
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.pool import Pool
from buoy.model.service_ip import ServiceIP
from buoy.store.api_names import ObjectName, Resource
from buoy.store.api_objects import number

_SERVICE_IPS = "service-ips/"
_SETTINGS = "settings/bgp"
_NODES = "nodes/"
_LAYERED = frozenset({Pool, Peer, Filter})
"""Kinds of documents that a foreign object may stand for, too."""


class TranslationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What no object says: `cluster_ips` is CALICO_ADVERTISE_CLUSTER_IPS, "" if it is not set."""

    cluster_ips: str = ""
    classes: tuple[str, ...] = (LOAD_BALANCER_CLASS,)
    """Of which load-balancer classes addresses are announced, besides Services without one."""
    node: str = ""
    """Whose pods are heard of; "" for nobody's."""


_USUAL = TranslationSettings()


class Translation:
    """The documents of one cluster; `documents`, `revisions` and `broken` are live and read-only.

    `revisions` holds the resourceVersion of the object of Buoy's own that stands at a path; where a
    document comes of other objects alone there is none.
    """

    def __init__(self, settings: TranslationSettings = _USUAL, covers: Callable[[str], bool] = lambda _: True) -> None:
        self._covers = covers
        self._documents: dict[str, Document] = {}
        self._revisions: dict[str, int] = {}
        self._broken: dict[str, str] = {}
        self.documents: Mapping[str, Document] = MappingProxyType(self._documents)
        self.revisions: Mapping[str, int] = MappingProxyType(self._revisions)
        self.broken: Mapping[str, str] = MappingProxyType(self._broken)
        self._layers = Layers()
        self._sole: dict[str, Document] = {}
        """Documents that only one object can stand for."""
        self._services = Services(settings.classes, settings.node)
        self._calico = Calico()
        self._cluster = ClusterSettings(settings.cluster_ips)
        self._alive: set[str] = set()
        self._unread: dict[Source, tuple[str, str]] = {}
        self._impossible: dict[str, str] = {}
        self._takers: dict[Resource, Callable[[Source, Any], Iterable[str]]] = {
            **{kind.resource: self._take_own for kind in KINDS},
            SERVICES: self._take_service,
            SLICES: self._take_slice,
            NODES: self._take_node,
            PODS: self._take_pod,
            SERVICE_CIDRS: self._take_network,
            ADDRESS_POOLS: self._take_pool,
            BGP_CONFIGURATIONS: self._take_configuration,
            BGP_PEERS: self._take_peer,
            BGP_FILTERS: self._take_filter,
        }
        # the environment may say something before any object does
        self._settle((_SETTINGS,))

    def take(
        self, resource: Resource, changed: Mapping[ObjectName, Any], broken: Mapping[ObjectName, str] | None = None
    ) -> dict[str, Document | None]:
        """Hear of objects, None for one that is gone, and of those that cannot be read; return what differs by path.

        The objects are of the structs in `structs.py`.
        """
        touched: set[str] = set()
        for name, found in changed.items():
            touched.update(self._take(resource, name, found))
        for name, why in (broken or {}).items():
            self._unread[_source(resource, name)] = _place(resource, name), why
        if any(path.startswith("pools/") for path in touched):
            touched.add(_SETTINGS)
        if _SETTINGS in touched:
            self._calico.take_settings(self._cluster.said())
        touched |= self._put_all(self._calico.renewed())
        return self._settle(touched)

    def take_lives(self, lives: Mapping[str, bool]) -> dict[str, Document | None]:
        """Hear which agents live; what one says of itself is in force only while it does. Return what differs."""
        for node, alive in lives.items():
            (self._alive.add if alive else self._alive.discard)(node)
        return self._settle(f"nodes/{node}" for node in lives)

    @property
    def notices(self) -> Mapping[str, tuple[str, ...]]:
        """What of an object is not in force, and why, by ``resource/namespace/name``."""
        told = dict(self._layers.shadowed)
        for service, problems in self._services.problems.items():
            told[str(_source(SERVICES, service))] = problems
        for name, notices in self._cluster.notices(self._pools()).items():
            if notices:
                told[f"{BGP_CONFIGURATIONS}/{name}"] = notices
        for source, found in self._calico.notices.items():
            told[str(source)] = (*told.get(str(source), ()), *found)
        for source, (_, why) in self._unread.items():
            told[str(source)] = (why,)
        return told

    def origin(self, path: str) -> str:
        """Return which object's document stands at a path of pools, peers or filters; "" if there is none."""
        source = self._layers.source(path)
        return "" if source is None else str(source)

    def _take(self, resource: Resource, name: ObjectName, found: Any) -> Iterable[str]:  # noqa: ANN401  of any kind
        source = _source(resource, name)
        self._unread.pop(source, None)
        try:
            return self._takers[resource](source, found) if resource in self._takers else ()
        except InvalidInput as error:
            # one that is gone can only have a name that no document has: there was none
            if found is not None:
                self._unread[source] = _place(resource, name), str(error)
            return ()

    def _take_service(self, source: Source, found: Service | None) -> set[str]:
        return _service_ips(self._services.take_service(source.object, found))

    def _take_slice(self, source: Source, found: EndpointSlice | None) -> set[str]:
        return _service_ips(self._services.take_slice(source.object, found))

    def _take_node(self, source: Source, found: Node | None) -> set[str]:
        touched = _service_ips(self._services.take_node(source.name, known=found is not None))
        eligibility = f"eligibility/{source.name}"
        touched.add(eligibility)
        self._put_sole(eligibility, None if found is None else translate_node(found))
        self._calico.take_node(source.name, found)
        return touched

    def _take_pod(self, source: Source, found: Pod | None) -> set[str]:
        return _service_ips(self._services.pods.take(source.object, found))

    def _take_pool(self, source: Source, found: IPAddressPool | None) -> frozenset[str]:
        pool = None if found is None else translate_pool(found)
        if pool is not None:
            # here, and not with the documents: the settings follow a pool, too
            validate.check(documents.path(pool), pool)
        return self._put(source, pool)

    def _take_configuration(self, source: Source, found: BGPConfiguration | None) -> tuple[str]:
        self._cluster.take_configuration(source.name, found)
        return (_SETTINGS,)

    def _take_network(self, source: Source, found: ServiceCIDR | None) -> tuple[str]:
        self._cluster.take_network(source.name, () if found is None else prefixes(found))
        return (_SETTINGS,)

    def _take_peer(self, source: Source, found: BGPPeer | None) -> set[str]:
        return self._put_all(self._calico.take_peer(source, found))

    def _take_filter(self, source: Source, found: BGPFilter | None) -> set[str]:
        return self._put_all(self._calico.take_filter(source, found))

    def _take_own(self, source: Source, found: Any) -> Iterable[str]:  # noqa: ANN401  structs made at run time
        kind = BY_PLURAL[source.resource]
        at = kind.path(source.name)
        document = None if found is None else own.decode(kind, found)
        if found is None:
            self._revisions.pop(at, None)
        elif self._covers(at):
            self._revisions[at] = number(found.metadata.resource_version)
        if kind.struct is ServiceIP:
            claim = document if isinstance(document, ServiceIP) else None
            return _service_ips(self._services.take_claim(Address(at.removeprefix(_SERVICE_IPS)), claim))
        if kind.struct is BGPSettings:
            self._cluster.own = document if isinstance(document, BGPSettings) else None
            return (_SETTINGS,)
        if kind.struct in _LAYERED:
            self._calico.take_own(at, document)
            return self._put(source, document)
        self._put_sole(at, document)
        return (at,)

    def _put(self, source: Source, document: Document | None) -> frozenset[str]:
        return self._layers.put(source, {} if document is None else {documents.path(document): document})

    def _put_sole(self, path: str, document: Document | None) -> None:
        if document is None:
            self._sole.pop(path, None)
        else:
            self._sole[path] = document

    def _put_all(self, found: Mapping[Source, Mapping[str, Document]]) -> set[str]:
        return {path for source, made in found.items() for path in self._layers.put(source, made)}

    def _settle(self, touched: Iterable[str]) -> dict[str, Document | None]:
        """Make the documents at these paths anew; return those that differ."""
        different: dict[str, Document | None] = {}
        for path in filter(self._covers, touched):
            before, after = self._documents.get(path), self._document(path)
            self._impossible.pop(path, None)
            if after == before:
                continue
            if after is None:
                del self._documents[path]
            else:
                try:
                    validate.check(path, after)
                except InvalidInput as error:
                    self._impossible[path] = str(error)
                    continue
                self._documents[path] = after
            different[path] = after
        self._tell_broken()
        return different

    def _document(self, path: str) -> Document | None:
        if path.startswith(_SERVICE_IPS):
            return self._services.document(Address(path.removeprefix(_SERVICE_IPS)))
        if path == _SETTINGS:
            return self._cluster.document(self._pools())
        if path.startswith(_NODES) and path.removeprefix(_NODES) not in self._alive:
            return None
        return self._sole.get(path) or self._layers.document(path)

    def _pools(self) -> list[Pool]:
        found = (self._layers.document(path) for path in self._layers.beneath("pools/"))
        return [pool for pool in found if isinstance(pool, Pool)]

    def _tell_broken(self) -> None:
        told = {**self._impossible, **dict(self._unread.values())}
        if told != self._broken:
            self._broken.clear()
            self._broken.update(told)


def _source(resource: Resource, name: ObjectName) -> Source:
    rank = 0 if resource.group == GROUP else 1
    return Source(rank, str(resource), name.namespace, name.name)


def _place(resource: Resource, name: ObjectName) -> str:
    """Return where an object that cannot be read is told: at its document's path, if it has one."""
    if resource in BY_RESOURCE:
        try:
            return BY_RESOURCE[resource].path(name.name)
        except InvalidInput:
            # a name that names no document; the object itself must then be named
            return str(_source(resource, name))
    return str(_source(resource, name))


def _service_ips(addresses: Iterable[Address]) -> set[str]:
    return {f"{_SERVICE_IPS}{address}" for address in addresses}
