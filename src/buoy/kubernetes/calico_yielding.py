# SPDX-License-Identifier: Apache-2.0
"""For which of Buoy's own kinds Calico's BGPPeers make way.

Promises that a BGPPeer says which Peer of Buoy's would have a node speak with its neighbour, too, and whether the
reflectors of BGPSettings would. The tricky thing is that each node decides (`planner/peering.py`), for only there
it is known who can: a Peer whose password is not there yet takes nobody's place.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from buoy.kubernetes.calico_filters import Made
from buoy.kubernetes.calico_pairs import NodeFacts
from buoy.model.address import Address
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
    """Return an object's documents, with a word on each of Buoy's own that comes before some of them."""
    told: dict[str, str] = {}
    for peer in sorted(
        (each for each in made.documents.values() if isinstance(each, Peer)), key=lambda each: each.name
    ):
        speakers = frozenset(peer.nodes) or before.nodes
        for winner, theirs in _before(peer, speakers, before):
            if speakers & theirs:
                told.setdefault(winner, f"{winner} with {peer.address}, too, and Buoy's own kinds come first")
    return Made(made.documents, (*made.notices, *(f"{told[each]}: delete one of the two" for each in sorted(told))))


def _before(peer: Peer, speakers: frozenset[str], before: Taken) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield who would have nodes speak with the neighbour of a peer, in words, and which nodes."""
    for own in before.peers.get((peer.address, peer.port), ()):
        yield f"Peer {own.name} speaks", frozenset(own.nodes) or speakers
    neighbour = before.at.get(peer.address)
    if neighbour is not None and peer.port == before.port:
        theirs = speakers if neighbour in before.reflectors else before.reflectors
        yield "BGPSettings, by its reflectors, speaks", theirs
