# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeer as peers of Buoy.

Promises the same sessions between the same nodes and neighbours. The tricky thing is
`peerSelector`: it names nodes, so it becomes one peer for each of them, in the AS the
object says.

Source: projectcalico/calico api/pkg/apis/projectcalico/v3/bgppeer.go.
"""

from collections.abc import Mapping
from typing import NamedTuple

from buoy.kubernetes.bgp_configuration import NOT_HONOURED, ignored
from buoy.kubernetes.calico_filters import Made, combined_filter
from buoy.kubernetes.eligibility import translate_node
from buoy.kubernetes.foreign import BGPFilter, BGPPeer, BGPPeerSpec
from buoy.kubernetes.objects import Labels, Node
from buoy.kubernetes.reading import read_asn, read_endpoint, read_seconds, secret_file
from buoy.kubernetes.selectors import selector
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import RESTART_TIME, Bfd, NextHop, Peer

_IGNORED = (
    "reachable_by",
    "reverse_peering",
    "restart_mode",
    "bird_gateway_mode",
    "external_network",
    "extensions",
)
_USUAL = {
    "reverse_peering": "Auto",
    "restart_mode": "GracefulRestart",
}


_BFD: Mapping[str | None, Bfd | None] = {None: None, "None": None, "BFDIfDirectlyConnected": Bfd()}
"""By failureDetectionMode, which Calico's commercial edition has."""


_NEXT_HOP = {None: NextHop.AUTO, "": NextHop.AUTO, "Auto": NextHop.AUTO, "Self": NextHop.SELF, "Keep": NextHop.KEEP}


class NodeFacts(NamedTuple):
    """What peers ask of a node."""

    labels: Mapping[str, str]
    addresses: tuple[Address, ...]


class _Neighbour(NamedTuple):
    name: str
    address: Address
    port: int


def facts(node: Node) -> NodeFacts:
    """Return what peers ask of a node."""
    labels: Labels = node.metadata.labels
    return NodeFacts(labels or {}, translate_node(node).addresses)


def translate_peer(found: BGPPeer, nodes: Mapping[str, NodeFacts], filters: Mapping[str, BGPFilter]) -> Made:
    """Return the peers of a BGPPeer; raise `InvalidInput` for one that cannot be."""
    spec = found.spec
    notices = list(ignored(spec, _IGNORED, _USUAL))
    if spec.source_address not in {None, "UseNodeIP"}:
        notices.append(f"spec.sourceAddress {NOT_HONOURED}: the node's own address is used all the same")
    if spec.failure_detection_mode not in _BFD:
        known = "give None or BFDIfDirectlyConnected"
        raise InvalidInput("spec.failureDetectionMode", spec.failure_detection_mode, known)
    if spec.next_hop_mode not in _NEXT_HOP:
        raise InvalidInput("spec.nextHopMode", spec.next_hop_mode, "give Auto, Self or Keep")
    if spec.local_workload_selector:
        return Made({}, (*notices, "spec.localWorkloadSelector: pods are no peers, so there is none"))
    if spec.as_number is None:
        raise InvalidInput("spec.asNumber", "", "give the AS number of the neighbour")
    speakers = _speakers(spec, nodes)
    if speakers is None:
        return Made({}, (*notices, f"spec.nodeSelector selects no node: {spec.node_selector}"))
    combined = combined_filter(found.metadata.name, spec.filters or (), filters)
    made: dict[str, Document] = dict(combined.documents)
    for neighbour in _neighbours(found, nodes):
        peer = _peer(spec, neighbour, speakers, combined.names)
        made[documents.path(peer)] = peer
    return Made(made, (*notices, *combined.notices))


def _peer(spec: BGPPeerSpec, neighbour: _Neighbour, speakers: tuple[str, ...], filters: tuple[str, str]) -> Peer:
    restart, alive, hops = spec.max_restart_time, spec.keepalive_time, spec.ttl_security or 0
    return Peer(
        name=neighbour.name,
        address=neighbour.address,
        port=neighbour.port,
        asn=read_asn(spec.as_number or 0, "spec.asNumber"),
        local_asn=None if spec.local_as_number is None else read_asn(spec.local_as_number, "spec.localASNumber"),
        nodes=speakers,
        password_from=secret_file(spec.password) if spec.password else "",
        keepalive=read_seconds(alive, "spec.keepaliveTime") if alive else None,
        graceful_restart_time=read_seconds(restart, "spec.maxRestartTime") if restart else RESTART_TIME,
        multihop=hops if hops > 1 else None,
        ttl_security=hops > 0,
        allow_local_as=spec.num_allowed_local_as_numbers or 0,
        next_hop=_next_hop(spec),
        bfd=_BFD[spec.failure_detection_mode],
        export_filter=filters[0],
        import_filter=filters[1],
    )


def _next_hop(spec: BGPPeerSpec) -> NextHop:
    if spec.keep_original_next_hop and not spec.next_hop_mode:
        return NextHop.KEEP
    return _NEXT_HOP[spec.next_hop_mode]


def _speakers(spec: BGPPeerSpec, nodes: Mapping[str, NodeFacts]) -> tuple[str, ...] | None:
    """Return the nodes a peer is for, () for all of them, None for none."""
    if spec.node and spec.node_selector:
        raise InvalidInput("spec.nodeSelector", spec.node_selector, "give node or nodeSelector, not both")
    if spec.node:
        return (spec.node,)
    if not spec.node_selector:
        return ()
    match = selector(spec.node_selector, "spec.nodeSelector")
    return tuple(sorted(name for name, node in nodes.items() if match(node.labels))) or None


def _neighbours(found: BGPPeer, nodes: Mapping[str, NodeFacts]) -> list[_Neighbour]:
    spec, name = found.spec, found.metadata.name
    if bool(spec.peer_ip) == bool(spec.peer_selector):
        raise InvalidInput("spec.peerIP", spec.peer_ip, "give either peerIP or peerSelector")
    if spec.peer_ip:
        return [_Neighbour(name, *read_endpoint(spec.peer_ip, "spec.peerIP"))]
    match = selector(spec.peer_selector, "spec.peerSelector")
    return [
        _Neighbour(f"{name}.{other}", node.addresses[0], 179)
        for other, node in sorted(nodes.items())
        if node.addresses and match(node.labels)
    ]
