# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers beside Buoy's own Peers and reflectors: for one neighbour Buoy's own are in force."""

import pytest

from buoy.kubernetes.resources import kind_at
from buoy.model.address import Address
from buoy.model.peer import BGPSettings, Peer
from buoy.planner.peering import speaking
from buoy.planner.peering_sessions import LocalNode, PeeringWish
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.calico_cluster import Cluster

FIRST = "too, and Buoy's own kinds come first: delete one of the two"


@pytest.fixture
def cluster() -> Cluster:
    """Nodes a, b and c at 192.0.2.1 to 192.0.2.3, of which a is labelled as a reflector."""
    made = Cluster()
    made.has_nodes(a={"rr": "true"}, b={}, c={})
    return made


def test_a_peer_of_buoys_own_comes_before_a_bgppeer_with_its_neighbour(cluster: Cluster) -> None:
    cluster.has_peer_called("abc", peerIP="192.0.2.254", asNumber=65000)
    cluster.has_own(Peer(name="zzz", address=Address("192.0.2.254"), asn=65000, hold_time=9))
    assert {"peer_zzz"} == sessions(cluster)
    assert (f"Peer zzz speaks with 192.0.2.254, {FIRST}",) == notices(cluster, "abc")
    cluster.translation.take(kind_at("peers/zzz").resource, {ObjectName("", "zzz"): None})
    assert ({"peer_abc"}, ()) == (sessions(cluster), notices(cluster, "abc"))


def test_a_peer_of_buoys_own_that_cannot_speak_takes_nobodys_place(cluster: Cluster) -> None:
    cluster.has_peer_called("abc", peerIP="192.0.2.254", asNumber=65000)
    peers = [*cluster.peers.values(), Peer(name="a", address=Address("192.0.2.254"), asn=65000, password_from="none")]
    wanted = PeeringWish(peers=tuple(each for each in peers if isinstance(each, Peer)), passwords={"none": ""})
    done = speaking(LocalNode(name="a", addresses=(Address("192.0.2.1"),)), wanted)
    assert ["peer_abc"] == [each.name for each in done.sessions]
    assert ["peers/a.password_from"] == [each.field for each in done.refused]


def test_a_bgppeer_makes_way_on_the_nodes_of_the_other_alone(cluster: Cluster) -> None:
    cluster.has_peer_called("abc", peerIP="192.0.2.254", asNumber=65000)
    cluster.has_own(Peer(name="zzz", address=Address("192.0.2.254"), asn=65000, nodes=("b",)))
    told = {(node, session) for node, _, session in cluster.speaks()}
    assert {("a", "peer_abc"), ("b", "peer_zzz"), ("c", "peer_abc")} == told
    assert (f"Peer zzz speaks with 192.0.2.254, {FIRST}",) == notices(cluster, "abc")
    cluster.has_own(Peer(name="zzz", address=Address("192.0.2.254"), port=1179, asn=65000, nodes=("b",)))
    assert () == notices(cluster, "abc")


def test_a_session_that_is_made_for_another_objects_other_side_makes_way_too(cluster: Cluster) -> None:
    cluster.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)")
    mine = Peer(name="to-b", address=Address("192.0.2.2"), asn=64512, nodes=("a",), reflector_client=True, inside=True)
    cluster.has_own(mine)
    assert {"peer_to_b", "peer_tor__c"} == {session for node, _, session in cluster.speaks() if node == "a"}
    assert (f"Peer to-b speaks with 192.0.2.2, {FIRST}",) == cluster.notices


def test_sessions_with_reflectors_of_bgpsettings_come_before_those_of_a_bgppeer(cluster: Cluster) -> None:
    cluster.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)")
    cluster.has_own(BGPSettings(reflectors=("a",)))
    assert {"node_a_v4", "node_b_v4", "node_c_v4"} == sessions(cluster)
    assert (f"BGPSettings, by its reflectors, speaks with 192.0.2.1, {FIRST}",) == cluster.notices
    cluster.has_own(BGPSettings(reflectors=("c",)))
    assert {("a", "peer_tor__b"), ("b", "peer_tor__a")} == {
        (node, name) for node, _, name in cluster.speaks() if name.startswith("peer_")
    }
    cluster.has_own(BGPSettings())
    assert (4, ()) == (len(cluster.speaks()), notices(cluster, "tor"))


def test_what_is_said_of_a_bgppeer_does_not_hang_on_the_order_of_nodes(cluster: Cluster) -> None:
    cluster.has_nodes(b={"rr": "true"})
    cluster.has_peer(peerSelector="has(rr)", nodeSelector="all()")
    cluster.has_own(BGPSettings(reflectors=("a", "b")))
    before = cluster.notices
    cluster.has_nodes(a={"rr": "true", "zone": "1"})
    assert (before, 1) == (cluster.notices, len(before))


def test_what_speaks_at_another_port_of_a_reflector_is_not_its_session(cluster: Cluster) -> None:
    cluster.has_own(BGPSettings(reflectors=("a",), listen_port=1790))
    cluster.has_peer(peerIP="192.0.2.1", asNumber=65000)
    assert (True, ()) == ("peer_tor" in sessions(cluster), cluster.notices)


def sessions(cluster: Cluster) -> set[str]:
    """Every session of every node, by its name."""
    return {name for _, _, name in cluster.speaks()}


def notices(cluster: Cluster, name: str) -> tuple[str, ...]:
    return cluster.translation.notices.get(f"bgppeers.projectcalico.org/{name}", ())
