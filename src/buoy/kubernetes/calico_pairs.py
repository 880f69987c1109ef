# SPDX-License-Identifier: Apache-2.0
"""Which nodes a BGPPeer of Calico's has speak with which other nodes, and who must answer them.

Promises that each session between two nodes has both its sides, once. The tricky thing is that
an object says one side only: Calico makes the other unless `reversePeering` is Manual, and what
any object says itself comes before what is made so.

Source: projectcalico/calico confd/pkg/backends/calico/client.go, updatePeersV1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from buoy.kubernetes.eligibility import translate_node
from buoy.kubernetes.foreign import BGPFilter, BGPPeerSpec
from buoy.kubernetes.objects import Labels, Node
from buoy.kubernetes.reading import read_asn, read_endpoint
from buoy.kubernetes.selectors import selector
from buoy.model.address import Address, family
from buoy.model.errors import InvalidInput

MANUAL = "Manual"
REFLECTS = "projectcalico.org/RouteReflectorClusterID"
"""The annotation of a node that reflects routes, and in which cluster of reflectors (RFC 4456)."""


class NodeFacts(NamedTuple):
    """What peers ask of a node."""

    labels: Mapping[str, str]
    addresses: tuple[Address, ...]
    reflects: str = ""


class Cluster(NamedTuple):
    """What peers depend on besides themselves: nodes and filters by name, the cluster's AS, the port of its nodes.

    `reflectors` are the nodes that reflect, each with the cluster of reflectors it is in.
    """

    nodes: Mapping[str, NodeFacts]
    filters: Mapping[str, BGPFilter]
    asn: int
    port: int
    reflectors: Mapping[str, str] = {}


class Ends(NamedTuple):
    """The nodes that speak and the nodes they speak with, by name, each with its address in these sessions.

    `back` tells whether the latter are to speak with the former, too.
    """

    speakers: Mapping[str, Address]
    neighbours: Mapping[str, Address]
    back: bool


NOBODY = Ends({}, {}, back=False)


def facts(node: Node) -> NodeFacts:
    """Return what peers ask of a node."""
    labels: Labels = node.metadata.labels
    reflects = (node.metadata.annotations or {}).get(REFLECTS, "")
    return NodeFacts(labels or {}, translate_node(node).addresses, reflects)


def speakers(spec: BGPPeerSpec, nodes: Mapping[str, NodeFacts]) -> tuple[str, ...] | None:
    """Return the nodes a peer is for, () for all of them, None for none."""
    if spec.node and spec.node_selector:
        raise InvalidInput("spec.nodeSelector", spec.node_selector, "give node or nodeSelector, not both")
    if spec.node:
        return (spec.node,)
    if not spec.node_selector:
        return ()
    match = selector(spec.node_selector, "spec.nodeSelector")
    return tuple(sorted(name for name, node in nodes.items() if match(node.labels))) or None


def ends(spec: BGPPeerSpec, cluster: Cluster) -> Ends:
    """Return what an object says of sessions between nodes; raise `InvalidInput` for one that cannot be."""
    speaking = speakers(spec, cluster.nodes)
    if speaking is None or spec.local_workload_selector:
        return NOBODY
    if spec.peer_selector:
        match = selector(spec.peer_selector, "spec.peerSelector")
        version, ours = None, True
        neighbours = {
            name: node.addresses[0] for name, node in cluster.nodes.items() if node.addresses and match(node.labels)
        }
    else:
        address, port = read_endpoint(spec.peer_ip, "spec.peerIP", cluster.port)
        version, ours = family(address), read_asn(spec.as_number or 0, "spec.asNumber") == cluster.asn
        at = [name for name, node in cluster.nodes.items() if address in node.addresses] if port == cluster.port else []
        neighbours = dict.fromkeys(at, address)
    if not neighbours:
        return NOBODY
    own = dict(_addresses(speaking or tuple(cluster.nodes), cluster, version))
    return Ends(own, neighbours, back=ours and spec.reverse_peering != MANUAL)


def answers(said: Sequence[Ends]) -> list[Mapping[str, tuple[str, ...]]]:
    """Return for each object, by node that speaks, the nodes which nothing but its reverse has speak with that one.

    Of two objects whose reverses are the same session it is that of the first.
    """
    return [_answer(place, said) if each.back else {} for place, each in enumerate(said)]


def _answer(place: int, said: Sequence[Ends]) -> dict[str, tuple[str, ...]]:
    each, between = said[place], [(at, other) for at, other in enumerate(said) if other.neighbours]
    # most nodes are in the same objects: those share what is left for them
    alike: dict[tuple[tuple[bool, bool], ...], tuple[str, ...]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name, address in each.speakers.items():
        known = tuple(
            (other.neighbours.get(name) == address, at < place and other.back and other.speakers.get(name) == address)
            for at, other in between
        )
        if known not in alike:
            left = set(each.neighbours)
            for (_, other), (called, answered) in zip(between, known, strict=True):
                if called:
                    left -= other.speakers.keys()
                if answered:
                    left -= other.neighbours.keys()
            alike[known] = tuple(sorted(left))
        if alike[known]:
            found[name] = alike[known]
    return found


def _addresses(names: Sequence[str], cluster: Cluster, version: int | None) -> Iterator[tuple[str, Address]]:
    for name in names:
        given = cluster.nodes[name].addresses if name in cluster.nodes else ()
        address = next((each for each in given if version in {None, family(each)}), None)
        if address is not None:
            yield name, address
