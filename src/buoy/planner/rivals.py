# SPDX-License-Identifier: Apache-2.0
"""Peers that want the same neighbour of the same node: which of them is in force.

Promises what a node does by itself, for `peering` takes peers in the order of their names and the first that asks
for an address has it. Only one of two such peers can be: BIRD speaks with a neighbour once.
"""

from collections.abc import Iterable, Mapping

from buoy.model.address import Address
from buoy.model.peer import Peer


def rivals(peers: Iterable[Peer]) -> Mapping[str, Peer]:
    """Return for each peer that is not in force on some node, by name, the one that is there in its place."""
    told: dict[str, Peer] = {}
    neighbours: dict[tuple[Address, int], list[Peer]] = {}
    for peer in sorted(peers, key=lambda each: each.name):
        before = neighbours.setdefault((peer.address, peer.port), [])
        other = next((each for each in before if _meet(each, peer)), None)
        if other is not None:
            told[peer.name] = other
        before.append(peer)
    return told


def _meet(one: Peer, other: Peer) -> bool:
    return not one.nodes or not other.nodes or not set(one.nodes).isdisjoint(other.nodes)
