# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers and BGPFilters, kept together with the nodes they select.

Promises that a peer follows the labels and addresses of nodes, and that one which
selects no node is no peer of all: it has no document. A filter is two documents, for
export and import; a peer with several filters gets one that holds their rules in turn.
"""

from collections.abc import Mapping
from typing import TypeAlias

from buoy.kubernetes.calico_filters import Made, translate_filter
from buoy.kubernetes.calico_peers import NodeFacts, facts, translate_peer
from buoy.kubernetes.foreign import BGPFilter, BGPPeer
from buoy.kubernetes.layers import Source
from buoy.kubernetes.objects import Node
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput

Found: TypeAlias = dict[Source, Mapping[str, Document]]
"""The documents of each source that is touched."""


class Calico:
    """Peers, filters and the facts of nodes they depend on."""

    def __init__(self) -> None:
        self._peers: dict[Source, BGPPeer] = {}
        self._filters: dict[str, BGPFilter] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self.notices: dict[Source, tuple[str, ...]] = {}

    def take_peer(self, source: Source, found: BGPPeer | None) -> Found:
        """Hear of a peer, None if it is gone."""
        if found is None:
            self._peers.pop(source, None)
            self.notices.pop(source, None)
            return {source: {}}
        self._peers[source] = found
        return {source: self._peer(source, found)}

    def take_filter(self, source: Source, found: BGPFilter | None) -> Found:
        """Hear of a filter, None if it is gone; the peers that name it are made anew."""
        if found is None:
            self._filters.pop(source.name, None)
            self.notices.pop(source, None)
            made = Made({}, ())
        else:
            self._filters[source.name] = found
            made = translate_filter(found)
            self._note(source, made.notices)
        using = {at: peer for at, peer in self._peers.items() if source.name in (peer.spec.filters or ())}
        return {source: made.documents, **{at: self._peer(at, peer) for at, peer in using.items()}}

    def take_node(self, name: str, found: Node | None) -> Found:
        """Hear of a node; only what peers ask of it touches them."""
        before, after = self._nodes.pop(name, None), None if found is None else facts(found)
        if after is not None:
            self._nodes[name] = after
        if before == after:
            return {}
        selecting = {at: peer for at, peer in self._peers.items() if peer.spec.node_selector or peer.spec.peer_selector}
        return {at: self._peer(at, peer) for at, peer in selecting.items()}

    def _peer(self, source: Source, found: BGPPeer) -> Mapping[str, Document]:
        try:
            made = translate_peer(found, self._nodes, self._filters)
        except InvalidInput as error:
            made = Made({}, (str(error),))
        self._note(source, made.notices)
        return made.documents

    def _note(self, source: Source, notices: tuple[str, ...]) -> None:
        if notices:
            self.notices[source] = notices
        else:
            self.notices.pop(source, None)
