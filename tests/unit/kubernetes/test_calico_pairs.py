# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers between nodes: each session has two sides, and is there once."""

import pytest
from msgspec import structs

from buoy.kubernetes.resources import NODES
from buoy.model.address import Address
from buoy.model.peer import Peer
from buoy.planner.peering_names import outward, symbol
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.calico_cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def reflected(cluster: Cluster) -> Cluster:
    """A cluster of four nodes, of which a and c are reflectors."""
    cluster.has_nodes(a={"rr": "true"}, b={}, c={"rr": "true"}, d={})
    return cluster


BOTH = {("a", "192.0.2.2"), ("a", "192.0.2.4"), ("c", "192.0.2.2"), ("c", "192.0.2.4"),
        ("b", "192.0.2.1"), ("b", "192.0.2.3"), ("d", "192.0.2.1"), ("d", "192.0.2.3")}  # fmt: skip
"""Who speaks with whom where a and c reflect for b and d."""
AMONG = {("a", "192.0.2.3"), ("c", "192.0.2.1")}


def test_a_peer_selector_is_a_session_with_each_node_it_matches_and_each_of_those_speaks_back(
    reflected: Cluster,
) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)")
    expected = {
        f"peers/tor.{name}": Peer(
            name=f"tor.{name}", address=Address(address), asn=64512, nodes=nodes, inside=True, fallback=True
        )
        for name, address, nodes in (
            ("a", "192.0.2.1", ("b", "d")),
            ("b", "192.0.2.2", ("a", "c")),
            ("c", "192.0.2.3", ("b", "d")),
            ("d", "192.0.2.4", ("a", "c")),
        )
    }
    assert (expected, ()) == (reflected.peers, reflected.notices)
    assert BOTH == {each[:2] for each in reflected.speaks()}


def test_where_all_nodes_speak_with_those_selected_each_session_has_two_sides_and_is_there_once(
    reflected: Cluster,
) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="all()")
    told = reflected.speaks()
    assert BOTH | AMONG == {each[:2] for each in told}
    assert len(told) == len({each[:2] for each in told})


def test_a_manual_reverse_peering_leaves_the_other_side_to_another_object(reflected: Cluster) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)", reversePeering="Manual")
    assert {each for each in BOTH if each[0] in "bd"} == {each[:2] for each in reflected.speaks()}
    assert () == reflected.notices


def test_what_an_object_says_itself_comes_before_the_reverse_of_another(reflected: Cluster) -> None:
    reflected.has_peer_called("a-first", peerSelector="has(rr)", nodeSelector="!has(rr)")
    reflected.has_peer_called("back", peerSelector="!has(rr)", nodeSelector="has(rr)", keepaliveTime="7s")
    assert BOTH == {each[:2] for each in reflected.speaks()}
    assert {("back", name) for name in "ac"} | {("a_first", name) for name in "bd"} == {
        (session.removeprefix("peer_").rpartition("__")[0], name) for name, _, session in reflected.speaks()
    }


def test_of_two_objects_whose_reverses_are_one_session_it_is_that_of_the_first(reflected: Cluster) -> None:
    reflected.has_peer_called("one", peerSelector="has(rr)", nodeSelector="!has(rr)", reversePeering="Manual")
    reflected.has_peer_called("three", peerIP="192.0.2.1", asNumber=64512, node="b", keepaliveTime="7s")
    reflected.has_peer_called("two", peerSelector="has(rr)", nodeSelector="!has(rr)", reversePeering="Auto")
    told = [found for found in reflected.peers.values() if isinstance(found, Peer) and found.address == "192.0.2.2"]
    assert {"three.b": ("a",), "two.b": ("c",)} == {each.name: each.nodes for each in told}


def test_a_neighbour_that_is_a_node_speaks_back_if_it_is_in_the_clusters_as_and_at_its_port(cluster: Cluster) -> None:
    cluster.has_nodes(a={}, b={})
    cluster.is_configured(listenPort=1790)
    there = Peer(name="tor", address=Address("192.0.2.1"), asn=64512, port=1790, inside=True, fallback=True)
    back = {"peers/tor.b": structs.replace(there, name="tor.b", address=Address("192.0.2.2"), nodes=("a",))}
    cluster.has_peer(peerIP="192.0.2.1", asNumber=64512)
    assert {"peers/tor": there, **back} == cluster.peers
    cluster.has_peer(peerIP="192.0.2.1:1790", asNumber=64512, node="b")
    assert {"peers/tor": structs.replace(there, nodes=("b",)), **back} == cluster.peers
    for spec in ({"peerIP": "192.0.2.1", "asNumber": 1}, {"peerIP": "192.0.2.1:179", "asNumber": 64512}):
        cluster.has_peer(**spec)
        assert ["peers/tor"] == list(cluster.peers)


def test_what_only_nodes_were_told_is_known_to_no_router(reflected: Cluster) -> None:
    def outward_of(name: str) -> frozenset[str]:
        inside = {
            symbol("peer", peer.name) for peer in reflected.peers.values() if isinstance(peer, Peer) and peer.inside
        }
        return outward((session for node, _, session in reflected.speaks() if node == name), inside)

    reflected.is_configured(listenPort=1790)
    reflected.has_peer_called("rr", peerSelector="has(rr)", nodeSelector="all()")
    assert {"peer_rr__b", "peer_rr__c", "peer_rr__d"} == outward_of("a")
    reflected.has_peer(peerIP="192.0.2.254", asNumber=65000)
    assert {"a": {"peer_tor"}, "b": {"peer_tor"}} == {name: outward_of(name) for name in "ab"}
    # another speaker at a node's address, in an AS of its own, is a router
    reflected.has_peer(peerIP="192.0.2.1", asNumber=65000, node="b")
    assert {"peer_tor"} == outward_of("b")


def test_the_as_and_the_port_of_neighbours_that_are_nodes_are_the_clusters(cluster: Cluster) -> None:
    def known() -> set[tuple[int, int]]:
        return {(found.asn, found.port) for found in cluster.peers.values() if isinstance(found, Peer)}

    cluster.has_nodes(a={}, b={})
    cluster.has_peer(peerSelector="all()", nodeSelector="all()")
    assert {(64512, 179)} == known()
    cluster.is_configured(asNumber=65001, listenPort=1790)
    assert {(65001, 1790)} == known()
    cluster.has_peer(peerSelector="all()", asNumber=65002)
    assert {(65002, 1790)} == known()


def test_sides_in_two_as_know_each_others(cluster: Cluster) -> None:
    cluster.has_nodes(a={"rr": "true"}, b={})
    cluster.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)", asNumber=65001, localASNumber=65002)
    assert {"peers/tor.a": (65001, 65002), "peers/tor.b": (65002, 65001)} == {
        path: (found.asn, found.local_asn) for path, found in cluster.peers.items() if isinstance(found, Peer)
    }


def test_both_sides_have_the_password_the_timers_and_the_filters(reflected: Cluster) -> None:
    reflected.has_filter("guard", exportV4=[{"action": "Reject", "cidr": "10.0.0.0/8"}])
    secret = {"secretKeyRef": {"name": "bgp-secrets", "key": "rr"}}
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)", password=secret, keepaliveTime="10s",
                       filters=["guard"], ttlSecurity=1)  # fmt: skip
    found = [each for each in reflected.peers.values() if isinstance(each, Peer)]
    assert 4 == len(found)
    assert {("bgp-secrets/rr", 10, "guard.export", "guard.import", True)} == {
        (each.password_from, each.keepalive, each.export_filter, each.import_filter, each.ttl_security)
        for each in found
    }


CLIENTS = {each for each in BOTH if each[0] in "ac"}


@pytest.mark.parametrize("selected", ["!has(rr)", "all()"])
@pytest.mark.parametrize(
    ("among", "clients"),
    [
        ({"a": "244.0.0.1", "c": "244.0.0.1"}, CLIENTS),
        ({"a": "244.0.0.1"}, {each for each in CLIENTS if each[0] == "a"}),
        ({}, set()),
    ],
)
def test_nodes_that_reflect_take_those_that_do_not_for_their_clients(
    reflected: Cluster, selected: str, among: dict[str, str], clients: set[tuple[str, str]]
) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector=selected)
    sessions = {each[:2] for each in reflected.speaks()}
    reflected.has_reflectors(**among)
    among_them = {("a", "192.0.2.3")} if selected == "all()" and len(among) == 1 else set()
    assert (clients | among_them, sessions) == (reflected.clients(), {each[:2] for each in reflected.speaks()})


def test_the_sessions_of_a_reflector_with_its_clients_stay_while_another_becomes_one(reflected: Cluster) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)")
    reflected.has_reflectors(a="244.0.0.1", c="244.0.0.1")
    before = {each for each in reflected.speaks() if each[0] in "ac"}
    reflected.has_nodes(d={"rr": "true"})
    labelled = reflected.speaks()
    reflected.has_reflectors(d="244.0.0.1")
    left = {each for each in before if each[1] != "192.0.2.4"}
    assert (left, left) == (left & labelled, left & reflected.speaks())


def test_reflectors_of_two_clusters_reflect_to_each_other(reflected: Cluster) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="all()")
    reflected.has_reflectors(a="244.0.0.1", c="244.0.0.2")
    assert CLIENTS | AMONG == reflected.clients()


def test_in_another_as_there_are_no_clients(reflected: Cluster) -> None:
    reflected.has_reflectors(a="244.0.0.1")
    reflected.has_peer(peerSelector="has(rr)", localASNumber=65001)
    assert set() == reflected.clients()


def test_sessions_between_nodes_follow_labels_and_those_of_others_stay(reflected: Cluster) -> None:
    reflected.has_peer(peerSelector="has(rr)", nodeSelector="!has(rr)")
    before = reflected.speaks()
    reflected.has_nodes(e={})
    more = reflected.speaks() - before
    assert (set(), {("e", "192.0.2.1"), ("e", "192.0.2.3"), ("a", "192.0.2.5"), ("c", "192.0.2.5")}) == (
        before - reflected.speaks(),
        {each[:2] for each in more},
    )
    reflected.translation.take(NODES, {ObjectName("", "e"): None})
    del reflected.nodes["e"]
    assert before == reflected.speaks()
