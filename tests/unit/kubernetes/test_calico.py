# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPPeers as peers of ours; see `test_calico_filters.py`."""

from typing import Any

import pytest

from buoy.kubernetes.resources import BGP_FILTERS, BGP_PEERS, NODES
from buoy.kubernetes.translate import Translation
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.peer import Bfd, Filter, FilterRule, NextHop, Peer
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.making import bgp_filter, node, peer

TOR = ObjectName("", "tor")
NOTED = "bgppeers.projectcalico.org/tor"


class Cluster:
    """A translation of some nodes, peers and filters."""

    def __init__(self) -> None:
        self.translation = Translation()

    def has_nodes(self, **labels: dict[str, str]) -> None:
        for index, (name, found) in enumerate(sorted(labels.items())):
            status = {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{index + 1}"}]}
            self.translation.take(NODES, {ObjectName("", name): node(name, found, status=status)})

    def has_peer(self, **spec: Any) -> None:  # noqa: ANN401
        self.translation.take(BGP_PEERS, {TOR: peer(**spec)})

    def has_filter(self, name: str, **spec: Any) -> None:  # noqa: ANN401
        self.translation.take(BGP_FILTERS, {ObjectName("", name): bgp_filter(name, **spec)})

    def beneath(self, prefix: str) -> dict[str, Document]:
        return {path: found for path, found in self.translation.documents.items() if path.startswith(prefix)}

    @property
    def peers(self) -> dict[str, Document]:
        return self.beneath("peers/")

    @property
    def notices(self) -> tuple[str, ...]:
        return self.translation.notices.get(NOTED, ())

    def rules(self, name: str) -> tuple[FilterRule, ...]:
        found = self.translation.documents[f"filters/{name}"]
        assert isinstance(found, Filter)
        return found.rules


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_global_peer_is_for_all_nodes(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber="65000")
    assert {"peers/tor": Peer(name="tor", address=Address("192.0.2.254"), asn=65000)} == cluster.peers
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
    assert {"peers/tor": Peer(name="tor", address=Address(address), asn=1, port=port)} == cluster.peers


def test_what_a_peer_says_of_its_session_is_kept(cluster: Cluster) -> None:
    cluster.has_peer(
        peerIP="192.0.2.254", asNumber=1, localASNumber="1.10", keepaliveTime="10s", maxRestartTime="1m30s"
    )
    expected = Peer(
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
    assert {"peers/tor": Peer(name="tor", address=Address("192.0.2.254"), asn=1, **expected)} == cluster.peers
    assert () == cluster.notices


def test_a_password_stands_in_a_secret_that_agents_mount(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, password={"secretKeyRef": {"name": "bgp-secrets", "key": "tor"}})
    expected = Peer(name="tor", address=Address("192.0.2.254"), asn=1, password_from="bgp-secrets/tor")
    assert {"peers/tor": expected} == cluster.peers
    assert () == cluster.notices


@pytest.mark.parametrize(("mode", "bfd"), [("BFDIfDirectlyConnected", Bfd()), ("None", None)])
def test_the_enterprise_edition_may_ask_for_bfd(cluster: Cluster, mode: str, bfd: Bfd | None) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, failureDetectionMode=mode, restartMode="GracefulRestart")
    assert {"peers/tor": Peer(name="tor", address=Address("192.0.2.254"), asn=1, bfd=bfd)} == cluster.peers
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


def test_a_peer_selector_is_one_peer_for_each_node_it_matches(cluster: Cluster) -> None:
    cluster.has_nodes(a={"rr": "true"}, b={}, c={"rr": "true"})
    cluster.has_peer(peerSelector="has(rr)", asNumber=64512, nodeSelector="!has(rr)")
    expected = {
        f"peers/tor.{name}": Peer(name=f"tor.{name}", address=Address(address), asn=64512, nodes=("b",))
        for name, address in (("a", "192.0.2.1"), ("c", "192.0.2.3"))
    }
    assert expected == cluster.peers


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
