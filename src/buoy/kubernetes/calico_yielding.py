# SPDX-License-Identifier: Apache-2.0
"""What of Calico's BGPPeers makes way for Buoy's own kinds.

Promises that of two who would have a node speak with one neighbour, a Peer of Buoy's is in force before a BGPPeer,
and so are the sessions that BGPSettings makes with its reflectors; a BGPPeer that makes way, on some nodes or on
all, says for whom. The tricky thing is that it makes way node by node: elsewhere it stays in force.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from buoy.kubernetes.calico_filters import Made
from buoy.kubernetes.calico_pairs import NodeFacts
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.peer import BGPSettings, Peer


class Taken(NamedTuple):
    """With whom Buoy's own kinds have nodes speak: its Peers by neighbour; nodes by address, if some reflect."""

    nodes: frozenset[str]
    peers: Mapping[tuple[Address, int], Collection[Peer]]
    at: Mapping[Address, str]
    reflectors: frozenset[str]
    port: int


def taken(own: Collection[Peer], nodes: Mapping[str, NodeFacts], settings: BGPSettings) -> Taken:
    """Return what Buoy's own kinds say of a cluster's nodes."""
    peers: dict[tuple[Address, int], list[Peer]] = {}
    for each in own:
        peers.setdefault((each.address, each.port), []).append(each)
    reflected = nodes if settings.reflectors else {}
    at = {address: name for name, node in reflected.items() for address in node.addresses}
    return Taken(frozenset(nodes), peers, at, frozenset(settings.reflectors), settings.listen_port)


def yielding(made: Made, before: Taken) -> Made:
    """Return what is left of an object's documents, with a word on each that comes before it."""
    left: dict[str, Document] = {}
    told: dict[str, str] = {}
    for path, document in made.documents.items():
        if not isinstance(document, Peer):
            left[path] = document
            continue
        rest = speakers = frozenset(document.nodes) or before.nodes
        for winner, theirs in _before(document, speakers, before):
            if rest & theirs:
                rest -= theirs
                told.setdefault(winner, f"{winner} with {document.address} already, and Buoy's own kinds come first")
        if rest == speakers:
            left[path] = document
        elif rest:
            left[path] = msgspec.structs.replace(document, nodes=tuple(sorted(rest)))
    return Made(left, (*made.notices, *(f"{each}: delete one of the two" for each in told.values())))


def _before(peer: Peer, speakers: frozenset[str], before: Taken) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield who has nodes speak with the neighbour of a peer already, in words, and which nodes."""
    for own in before.peers.get((peer.address, peer.port), ()):
        yield f"Peer {own.name} speaks", frozenset(own.nodes) or speakers
    neighbour = before.at.get(peer.address)
    if neighbour is not None and peer.port == before.port:
        theirs = speakers if neighbour in before.reflectors else before.reflectors
        yield "BGPSettings, by its reflectors, speaks", theirs
