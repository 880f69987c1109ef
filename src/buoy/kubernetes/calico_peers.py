# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeer as peers of Buoy.

Promises the same sessions between the same nodes and neighbours. The tricky thing is
`peerSelector`: it names nodes, so it becomes one peer for each of them, in the AS and at
the port of the cluster; and one for each node that speaks with them, for they speak too.
One that reflectors among others speak with is two: only those take it for their client.

Source: projectcalico/calico api/pkg/apis/projectcalico/v3/bgppeer.go.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from buoy.kubernetes.bgp_configuration import NOT_HONOURED, ignored
from buoy.kubernetes.calico_filters import Combined, Made, combined_filter, fitting
from buoy.kubernetes.calico_pairs import NOBODY, Cluster, Ends, ends, speakers
from buoy.kubernetes.foreign import BGPPeer, BGPPeerSpec
from buoy.kubernetes.reading import read_asn, read_endpoint, read_seconds, secret_file
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.peer import RESTART_TIME, Bfd, NextHop, Peer
from buoy.planner.peering_rules import check_peer

_IGNORED = (
    "reachable_by",
    "restart_mode",
    "bird_gateway_mode",
    "external_network",
    "extensions",
)
_USUAL = {
    "restart_mode": "GracefulRestart",
}


_BFD: Mapping[str | None, Bfd | None] = {None: None, "None": None, "BFDIfDirectlyConnected": Bfd()}
"""By failureDetectionMode, which Calico's commercial edition has."""


_NEXT_HOP = {None: NextHop.AUTO, "": NextHop.AUTO, "Auto": NextHop.AUTO, "Self": NextHop.SELF, "Keep": NextHop.KEEP}

_BGP_PORT = 179
_HOLD_TIME, _LONGEST_HOLD = 90, 65535
"""Seconds, of a peer that says nothing and of any."""

_SAID_AS = {
    "address": "spec.peerIP",
    "asn": "spec.asNumber",
    "local_asn": "spec.localASNumber",
    "keepalive": "spec.keepaliveTime",
    "graceful_restart_time": "spec.maxRestartTime",
    "multihop": "spec.ttlSecurity",
    "allow_local_as": "spec.numAllowedLocalASNumbers",
}
"""The fields of an object by those of a peer."""


class Read(NamedTuple):
    """An object that can be: its peer, None for none, and what it says of sessions between nodes.

    The peer of an object with a `peerSelector` lacks the neighbour, which is each of `ends.neighbours`.
    """

    peer: Peer | None
    ends: Ends = NOBODY
    filters: Combined = Combined({}, ("", ""))
    notices: tuple[str, ...] = ()


def read_peer(found: BGPPeer, cluster: Cluster) -> Read:
    """Return what a BGPPeer says; raise `InvalidInput` for one that cannot be."""
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
        return Read(None, notices=(*notices, "spec.localWorkloadSelector: pods are no peers, so there is none"))
    if bool(spec.peer_ip) == bool(spec.peer_selector):
        raise InvalidInput("spec.peerIP", spec.peer_ip, "give either peerIP or peerSelector")
    if spec.peer_ip and spec.as_number is None:
        raise InvalidInput("spec.asNumber", "", "give the AS number of the neighbour")
    speaking = speakers(spec, cluster.nodes)
    if speaking is None:
        return Read(None, notices=(*notices, f"spec.nodeSelector selects no node: {spec.node_selector}"))
    between = ends(spec, cluster)
    if spec.peer_selector and not between.neighbours:
        return Read(None, notices=(*notices, f"spec.peerSelector selects no node: {spec.peer_selector}"))
    combined = combined_filter(found.metadata.name, spec.filters or (), cluster.filters)
    peer = msgspec.structs.replace(_peer(found, cluster, between), nodes=speaking)
    peer = msgspec.structs.replace(peer, export_filter=combined.names[0], import_filter=combined.names[1])
    _check(peer)
    return Read(peer, between, combined, (*notices, *combined.notices))


def make_peers(found: BGPPeer, read: Read, answers: Mapping[str, tuple[str, ...]], cluster: Cluster) -> Made:
    """Return the peers of an object that is read; `answers` are the nodes to speak back, by that they speak with."""
    if read.peer is None:
        return Made({}, read.notices)
    called: dict[str, tuple[Peer, ...]] = {}
    if found.spec.peer_selector:
        for node, address in read.ends.neighbours.items():
            called[node] = (msgspec.structs.replace(read.peer, name=_name(found, node), address=address),)
    else:
        called[next(iter(read.ends.neighbours), "")] = (read.peer,)
    back = _back(read.peer, cluster)
    for node, nodes in answers.items():
        peer = msgspec.structs.replace(back, name=_name(found, node), address=read.ends.speakers[node], nodes=nodes)
        called[node] = _together(called.get(node, ()), peer)
    peers = {
        documents.path(each): each
        for node, of_node in called.items()
        for peer in of_node
        for each in _reflected(peer, node, cluster)
    }
    return Made({**read.filters.documents, **peers}, read.notices)


def _back(peer: Peer, cluster: Cluster) -> Peer:
    """Return the other side of a session: what one calls its own AS is the neighbour's here."""
    asn, own = peer.local_asn or cluster.asn, None if peer.asn == cluster.asn else peer.asn
    return msgspec.structs.replace(peer, asn=asn, local_asn=own, port=cluster.port)


def _together(said: tuple[Peer, ...], back: Peer) -> tuple[Peer, ...]:
    """Return the peers for one node, of which one object may name both sides: one peer, unless they differ in AS."""
    if not said:
        return (back,)
    if msgspec.structs.replace(said[0], nodes=back.nodes) == back:
        nodes = tuple(sorted({*said[0].nodes, *back.nodes})) if said[0].nodes else ()
        return (msgspec.structs.replace(back, nodes=nodes),)
    return (*said, msgspec.structs.replace(back, name=fitting(f"{back.name}.reverse")))


def _reflected(peer: Peer, node: str, cluster: Cluster) -> tuple[Peer, ...]:
    """Return a peer for the reflectors that take a node for their client, and one for the other nodes.

    A reflector does so unless the node is one in the same cluster of reflectors (RFC 4456).
    """
    own = cluster.reflectors.get(node, "")
    serving = tuple(
        name
        for name, among in cluster.reflectors.items()
        if among != own and name != node and (not peer.nodes or name in peer.nodes)
    )
    if not node or not serving or peer.asn != (peer.local_asn or cluster.asn):
        return (peer,)
    client = msgspec.structs.replace(peer, nodes=serving, reflector_client=True)
    # whoever else becomes a reflector, the sessions of this one keep their name
    client = msgspec.structs.replace(client, name=fitting(f"{peer.name}.client"))
    rest = tuple(sorted(set(peer.nodes or cluster.nodes).difference(serving, (node,))))
    return (msgspec.structs.replace(peer, nodes=rest), client) if rest else (client,)


def _name(found: BGPPeer, node: str) -> str:
    return fitting(f"{found.metadata.name}.{node}")


def _check(peer: Peer) -> None:
    """Raise `InvalidInput` for what every node would refuse, in the words of the object."""
    try:
        check_peer(peer)
    except InvalidInput as error:
        field = error.field.rpartition(".")[2]
        raise InvalidInput(_SAID_AS.get(field, field), error.value, error.remedy) from None


def _peer(found: BGPPeer, cluster: Cluster, between: Ends) -> Peer:
    spec = found.spec
    restart, alive, hops = spec.max_restart_time, spec.keepalive_time, spec.ttl_security or 0
    asn = cluster.asn if spec.as_number is None else read_asn(spec.as_number, "spec.asNumber")
    is_node = bool(spec.peer_selector) or (bool(between.neighbours) and asn == cluster.asn)
    address, port = _neighbour(spec, between, cluster.port if is_node else _BGP_PORT)
    keepalive = read_seconds(alive, "spec.keepaliveTime") if alive else None
    return Peer(
        name=fitting(found.metadata.name),
        address=address,
        port=port,
        asn=asn,
        local_asn=None if spec.local_as_number is None else read_asn(spec.local_as_number, "spec.localASNumber"),
        password_from=secret_file(spec.password) if spec.password else "",
        hold_time=_hold_time(keepalive or 0),
        keepalive=keepalive,
        graceful_restart_time=read_seconds(restart, "spec.maxRestartTime") if restart else RESTART_TIME,
        multihop=hops if hops > 1 else None,
        ttl_security=hops > 0,
        allow_local_as=spec.num_allowed_local_as_numbers or 0,
        next_hop=_next_hop(spec),
        bfd=_BFD[spec.failure_detection_mode],
        inside=is_node,
        fallback=True,
    )


def _hold_time(keepalive: int) -> int:
    # no field of theirs says it, so it must not be what forbids a keepalive
    return _HOLD_TIME if 2 * keepalive <= _HOLD_TIME else min(3 * keepalive, _LONGEST_HOLD)


def _neighbour(spec: BGPPeerSpec, between: Ends, port: int) -> tuple[Address, int]:
    if spec.peer_selector:
        return next(iter(between.neighbours.values())), port
    return read_endpoint(spec.peer_ip, "spec.peerIP", port)


def _next_hop(spec: BGPPeerSpec) -> NextHop:
    if spec.keep_original_next_hop and not spec.next_hop_mode:
        return NextHop.KEEP
    return _NEXT_HOP[spec.next_hop_mode]
