# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers as peers of ours; see `test_calico_pairs.py`, `test_calico_filters.py`."""

from typing import Any

import pytest

from buoy.kubernetes.resources import BGP_PEERS, NODES
from buoy.model.address import Address
from buoy.model.peer import Bfd, NextHop, Peer
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.calico_cluster import TOR, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_global_peer_is_for_all_nodes(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber="65000")
    assert {"peers/tor": Peer(fallback=True, name="tor", address=Address("192.0.2.254"), asn=65000)} == cluster.peers
    assert () == cluster.notices


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.254:1179", "192.0.2.254", 1179),
        ("[2001:db8::254]:1179", "2001:db8::254", 1179),
        ("2001:db8::254", "2001:db8::254", 179),
    ],
)
def test_a_peer_may_have_a_port(cluster: Cluster, text: str, address: str, port: int) -> None:
    cluster.has_peer(peerIP=text, asNumber=1)
    assert {"peers/tor": Peer(fallback=True, name="tor", address=Address(address), asn=1, port=port)} == cluster.peers


def test_what_a_peer_says_of_its_session_is_kept(cluster: Cluster) -> None:
    cluster.has_peer(
        peerIP="192.0.2.254", asNumber=1, localASNumber="1.10", keepaliveTime="10s", maxRestartTime="1m30s"
    )
    expected = Peer(
        fallback=True,
        name="tor",
        address=Address("192.0.2.254"),
        asn=1,
        local_asn=65546,
        keepalive=10,
        graceful_restart_time=90,
    )
    assert {"peers/tor": expected} == cluster.peers


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ttlSecurity": 0, "numAllowedLocalASNumbers": 0, "nextHopMode": "Auto"}, {}),
        ({"ttlSecurity": 1}, {"ttl_security": True}),
        ({"ttlSecurity": 3}, {"ttl_security": True, "multihop": 3}),
        ({"numAllowedLocalASNumbers": 2}, {"allow_local_as": 2}),
        ({"nextHopMode": "Self", "keepOriginalNextHop": True}, {"next_hop": NextHop.SELF}),
        ({"nextHopMode": "Keep"}, {"next_hop": NextHop.KEEP}),
        ({"keepOriginalNextHop": True}, {"next_hop": NextHop.KEEP}),
    ],
)
def test_how_a_peer_is_spoken_with(cluster: Cluster, spec: dict[str, Any], expected: dict[str, Any]) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, **spec)
    assert {
        "peers/tor": Peer(fallback=True, name="tor", address=Address("192.0.2.254"), asn=1, **expected)
    } == cluster.peers
    assert () == cluster.notices


def test_a_password_stands_in_a_secret_that_agents_mount(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, password={"secretKeyRef": {"name": "bgp-secrets", "key": "tor"}})
    expected = Peer(fallback=True, name="tor", address=Address("192.0.2.254"), asn=1, password_from="bgp-secrets/tor")
    assert {"peers/tor": expected} == cluster.peers
    assert () == cluster.notices


@pytest.mark.parametrize(("mode", "bfd"), [("BFDIfDirectlyConnected", Bfd()), ("None", None)])
def test_the_enterprise_edition_may_ask_for_bfd(cluster: Cluster, mode: str, bfd: Bfd | None) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, failureDetectionMode=mode, restartMode="GracefulRestart")
    assert {
        "peers/tor": Peer(fallback=True, name="tor", address=Address("192.0.2.254"), asn=1, bfd=bfd)
    } == cluster.peers
    assert () == cluster.notices


def test_a_peer_of_one_node(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, node="a")
    assert [("a",)] == [found.nodes for found in cluster.peers.values() if isinstance(found, Peer)]


def test_a_peer_follows_the_labels_of_nodes(cluster: Cluster) -> None:
    cluster.has_nodes(a={"rack": "r1"}, b={"rack": "r2"}, c={"rack": "r1"})
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, nodeSelector="rack == 'r1'")
    assert [("a", "c")] == [found.nodes for found in cluster.peers.values() if isinstance(found, Peer)]
    cluster.has_nodes(b={"rack": "r1"})
    assert [("a", "b", "c")] == [found.nodes for found in cluster.peers.values() if isinstance(found, Peer)]


def test_a_selector_that_matches_no_node_is_no_peer_of_all(cluster: Cluster) -> None:
    cluster.has_nodes(a={"rack": "r1"})
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, nodeSelector="rack == 'r2'")
    assert {} == cluster.peers
    assert ("spec.nodeSelector selects no node: rack == 'r2'",) == cluster.notices
    cluster.translation.take(NODES, {ObjectName("", "a"): None})
    assert {} == cluster.peers


def test_a_peer_selector_that_matches_no_node_says_so(cluster: Cluster) -> None:
    cluster.has_nodes(a={})
    cluster.has_peer(peerSelector="has(rr)")
    assert ({}, ("spec.peerSelector selects no node: has(rr)",)) == (cluster.peers, cluster.notices)


def test_a_long_name_of_a_node_is_cut_and_stays_another(cluster: Cluster) -> None:
    long = {f"ip-10-0-12-{at}.eu-central-1.compute.internal": {"rr": "true"} for at in (34, 35)}
    cluster.has_nodes(**long)
    cluster.has_peer_called("peer-with-route-reflectors", peerSelector="has(rr)", nodeSelector="all()")
    peers = [found for found in cluster.peers.values() if isinstance(found, Peer)]
    assert [63, 63] == [len(found.name) for found in peers]
    assert 2 == len(cluster.speaks())


def test_a_long_name_of_a_filter_is_cut_too(cluster: Cluster) -> None:
    long = "a" * 70
    cluster.has_filter(long, exportV4=[{"action": "Reject", "cidr": "10.0.0.0/8"}])
    cluster.has_peer_called(long, peerIP="192.0.2.254", asNumber=1, filters=[long])
    [found] = [each for each in cluster.peers.values() if isinstance(each, Peer)]
    assert {f"filters/{found.export_filter}", f"filters/{found.import_filter}"} == set(cluster.beneath("filters/"))
    assert {63} == {len(name) for name in (found.name, found.export_filter, found.import_filter)}


@pytest.mark.parametrize(("seconds", "hold"), [(20, 90), (45, 90), (60, 180), (30000, 65535)])
def test_a_keepalive_is_never_too_long_for_a_hold_time_that_nobody_can_say(
    cluster: Cluster, seconds: int, hold: int
) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, keepaliveTime=f"{seconds}s")
    expected = Peer(fallback=True, name="tor", address=Address("192.0.2.254"), asn=1, keepalive=seconds, hold_time=hold)
    assert ({"peers/tor": expected}, ()) == (cluster.peers, cluster.notices)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("maxRestartTime", "4096s"),
        ("keepaliveTime", "100ms"),
        ("keepaliveTime", "40000s"),
        ("numAllowedLocalASNumbers", 256),
        ("asNumber", 23456),
        ("localASNumber", 23456),
        ("peerIP", "127.0.0.1"),
        ("ttlSecurity", 256),
    ],
)
def test_what_every_node_would_refuse_is_refused_in_the_words_of_the_object(
    cluster: Cluster, field: str, value: object
) -> None:
    cluster.has_peer(**{"peerIP": "192.0.2.254", "asNumber": 1, field: value})
    assert {} == cluster.peers
    assert [True] == [notice.startswith(f"spec.{field}: ") for notice in cluster.notices]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"asNumber": 1}, "spec.peerIP"),
        ({"peerIP": "192.0.2.254"}, "spec.asNumber"),
        ({"peerIP": "192.0.2.254", "asNumber": "x"}, "spec.asNumber"),
        ({"peerIP": "192.0.2.300", "asNumber": 1}, "spec.peerIP"),
        ({"peerIP": "192.0.2.3:99999", "asNumber": 1}, "spec.peerIP"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "keepaliveTime": "1"}, "spec.keepaliveTime"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "nodeSelector": "rack ="}, "spec.nodeSelector"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "nodeSelector": "all()", "node": "a"}, "spec.nodeSelector"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "peerSelector": "all()"}, "spec.peerIP"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "failureDetectionMode": "Ping"}, "spec.failureDetectionMode"),
        ({"peerIP": "192.0.2.254", "asNumber": 1, "nextHopMode": "Maybe"}, "spec.nextHopMode"),
        ({"localWorkloadSelector": "all()"}, "spec.localWorkloadSelector"),
    ],
)
def test_a_peer_that_cannot_be_is_none_and_says_why(cluster: Cluster, spec: dict[str, Any], field: str) -> None:
    cluster.has_peer(**spec)
    assert {} == cluster.peers
    assert [True] == [notice.startswith(field) for notice in cluster.notices]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reachableBy", "192.0.2.1"),
        ("sourceAddress", "None"),
    ],
)
def test_a_field_that_is_not_honoured_is_named(cluster: Cluster, field: str, value: object) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, **{field: value})
    assert ["peers/tor"] == list(cluster.peers)
    assert [True] == [notice.startswith(f"spec.{field} is read") for notice in cluster.notices]


def test_what_is_said_of_a_peer_goes_with_it(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, reachableBy="192.0.2.1")
    cluster.translation.take(BGP_PEERS, {TOR: None})
    assert ({}, ()) == (cluster.peers, cluster.notices)
