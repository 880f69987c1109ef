# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers and BGPFilters, kept together with the nodes they select.

Promises that a peer follows the labels and addresses of nodes, and that one which
selects no node is no peer of all: it has no document. A filter is two documents, for
export and import; a peer with several filters gets one that holds their rules in turn.
A peer makes way for Buoy's own kinds, and says so.

The tricky thing: whether a session between nodes lacks a side is a matter of all
peers, so all are made anew at once, and once for whatever was heard before (`renewed`).
"""

from collections.abc import Mapping
from typing import TypeAlias

from buoy.kubernetes.calico_filters import translate_filter
from buoy.kubernetes.calico_pairs import Cluster, NodeFacts, answers, facts
from buoy.kubernetes.calico_peers import Read, make_peers, read_peer
from buoy.kubernetes.calico_yielding import taken, yielding
from buoy.kubernetes.foreign import BGPFilter, BGPPeer
from buoy.kubernetes.layers import Source
from buoy.kubernetes.objects import Node
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import BGPSettings, Peer

Found: TypeAlias = dict[Source, Mapping[str, Document]]
"""The documents of each source that is touched."""


class Calico:
    """Peers, filters, and the facts of nodes and of the cluster they depend on."""

    def __init__(self) -> None:
        self._peers: dict[Source, BGPPeer] = {}
        self._filters: dict[str, BGPFilter] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self._settings = BGPSettings()
        self._own: dict[str, Peer] = {}
        self._is_stale = False
        self.notices: dict[Source, tuple[str, ...]] = {}

    def take_peer(self, source: Source, found: BGPPeer | None) -> Found:
        """Hear of a peer, None if it is gone."""
        self._is_stale = True
        if found is None:
            self._peers.pop(source, None)
            self.notices.pop(source, None)
            return {source: {}}
        self._peers[source] = found
        return {}

    def take_own(self, path: str, found: Document | None) -> None:
        """Hear of a document of Buoy's own, None if it is gone; peers alone have a say in others."""
        before = self._own.pop(path, None)
        if isinstance(found, Peer):
            self._own[path] = found
        self._is_stale |= before != self._own.get(path)

    def take_filter(self, source: Source, found: BGPFilter | None) -> Found:
        """Hear of a filter, None if it is gone."""
        self._is_stale |= any(source.name in (peer.spec.filters or ()) for peer in self._peers.values())
        if found is None:
            self._filters.pop(source.name, None)
            self.notices.pop(source, None)
            return {source: {}}
        self._filters[source.name] = found
        made = translate_filter(found)
        self._note(source, made.notices)
        return {source: made.documents}

    def take_node(self, name: str, found: Node | None) -> None:
        """Hear of a node; only what peers ask of it touches them."""
        before, after = self._nodes.pop(name, None), None if found is None else facts(found)
        if after is not None:
            self._nodes[name] = after
        self._is_stale |= before != after

    def take_settings(self, found: BGPSettings) -> None:
        """Hear of the cluster's settings, of which the AS and the port of nodes and the reflectors touch peers."""
        before, self._settings = self._settings, found
        self._is_stale |= _touching(before) != _touching(found)

    def renewed(self) -> Found:
        """Return all peers if anything that was heard since has a say in them."""
        if not self._is_stale:
            return {}
        self._is_stale = False
        reflectors = {name: node.reflects for name, node in sorted(self._nodes.items()) if node.reflects}
        cluster = Cluster(self._nodes, self._filters, self._settings.asn, self._settings.listen_port, reflectors)
        read = {source: _read(self._peers[source], cluster) for source in sorted(self._peers)}
        first = taken(self._own.values(), self._nodes, self._settings)
        told: Found = {}
        for (source, each), back in zip(read.items(), answers([each.ends for each in read.values()]), strict=True):
            made = yielding(make_peers(self._peers[source], each, back, cluster), first)
            self._note(source, made.notices)
            told[source] = made.documents
        return told

    def _note(self, source: Source, notices: tuple[str, ...]) -> None:
        if notices:
            self.notices[source] = notices
        else:
            self.notices.pop(source, None)


def _touching(settings: BGPSettings) -> tuple[int, int, tuple[str, ...]]:
    return settings.asn, settings.listen_port, settings.reflectors


def _read(found: BGPPeer, cluster: Cluster) -> Read:
    try:
        return read_peer(found, cluster)
    except InvalidInput as error:
        return Read(None, notices=(str(error),))
