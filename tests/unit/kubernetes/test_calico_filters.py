# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPFilters as filters of ours: what each keeps back, said exactly, or narrower."""

import ipaddress
from typing import Any

import pytest

from buoy.model.address import Prefix
from buoy.model.peer import Action, FilterRule, Peer
from tests.unit.kubernetes.calico_cluster import NOTED, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def rule(action: str, prefix: str, low: int, high: int) -> FilterRule:
    return FilterRule(action=Action(action), prefix=Prefix(prefix), low=low, high=high)


def test_a_filter_is_one_for_each_direction(cluster: Cluster) -> None:
    cluster.has_filter(
        "guard",
        exportV4=[{"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In"}, {"action": "Reject"}],
        exportV6=[{"action": "Reject", "cidr": "2001:db8::/32", "matchOperator": "Equal"}],
        importV4=[{"action": "Reject", "cidr": "10.0.0.0/8", "prefixLength": {"min": 24, "max": 30}}],
    )
    expected = (
        rule("accept", "10.0.0.0/8", 8, 32),
        rule("reject", "0.0.0.0/0", 0, 32),
        rule("reject", "2001:db8::/32", 32, 32),
    )
    assert expected == cluster.rules("guard.export")
    assert (rule("reject", "10.0.0.0/8", 24, 30),) == cluster.rules("guard.import")


def test_the_last_rule_may_be_about_all_that_is_outside(cluster: Cluster) -> None:
    cluster.has_filter("guard", exportV4=[{"action": "Reject", "cidr": "10.0.0.0/8", "matchOperator": "NotIn"}])
    expected = (rule("accept", "10.0.0.0/8", 8, 32), rule("reject", "0.0.0.0/0", 0, 32))
    assert expected == cluster.rules("guard.export")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"action": "Accept", "source": "RemotePeers"}, "spec.exportV4[0].source"),
        ({"action": "Accept", "interface": "*"}, "spec.exportV4[0].interface"),
        ({"action": "Accept", "communities": {"values": ["1:2"]}}, "spec.exportV4[0].communities"),
        ({"action": "Accept", "asPathPrefix": [1]}, "spec.exportV4[0].asPathPrefix"),
        ({"action": "Accept", "cidr": "10.0.0"}, "spec.exportV4[0].cidr"),
        ({"action": "Accept", "cidr": "10.0.0.0/8", "prefixLength": {"min": 30, "max": 24}}, "prefixLength"),
        ({"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "Near"}, "matchOperator"),
    ],
)
def test_a_rule_that_cannot_be_said_and_accepts_is_left_out_and_named(
    cluster: Cluster, wrong: dict[str, Any], field: str
) -> None:
    cluster.has_filter("guard", exportV4=[wrong, {"action": "Reject"}])
    assert (rule("reject", "0.0.0.0/0", 0, 32),) == cluster.rules("guard.export")
    assert [(True, True)] == [
        (notice.startswith(field), notice.endswith("(the rule is left out: what follows it decides)"))
        for notice in cluster.translation.notices["bgpfilters.projectcalico.org/guard"]
    ]


@pytest.mark.parametrize(
    ("wrong", "narrow"),
    [
        ({"cidr": "10.0.0.0/8", "interface": "eth0"}, ("10.0.0.0/8", 8, 32)),
        ({"cidr": "10.0.0.0/8", "matchOperator": "Equal", "communities": {"values": ["1:2"]}}, ("10.0.0.0/8", 8, 8)),
        ({"cidr": "10.0.0.0/8", "prefixLength": {"min": 24}, "peerType": "eBGP"}, ("10.0.0.0/8", 24, 32)),
        ({"source": "RemotePeers"}, ("0.0.0.0/0", 0, 32)),
        ({"cidr": "10.0.0"}, ("0.0.0.0/0", 0, None)),
        ({"cidr": "10.0.0.0/8", "matchOperator": "Near"}, ("0.0.0.0/0", 0, None)),
        ({"action": "Deny", "cidr": "10.0.0.0/8"}, ("10.0.0.0/8", 8, 32)),
        ({"action": "Accept", "operations": [{"addCommunity": {"value": "65535:65281"}}]}, ("0.0.0.0/0", 0, 32)),
    ],
)
def test_a_rule_that_cannot_be_said_and_keeps_something_back_keeps_back_no_less(
    cluster: Cluster, wrong: dict[str, Any], narrow: tuple[str, int, int | None]
) -> None:
    cluster.has_filter("guard", exportV4=[{"action": "Reject", **wrong}])
    prefix, low, high = narrow
    assert (FilterRule(action=Action.REJECT, prefix=Prefix(prefix), low=low, high=high),) == cluster.rules(
        "guard.export"
    )
    assert [True] == [
        notice.endswith("is rejected)") for notice in cluster.translation.notices["bgpfilters.projectcalico.org/guard"]
    ]


def test_lengths_narrow_what_is_inside_and_not_what_is_outside(cluster: Cluster) -> None:
    wish = {"action": "Reject", "cidr": "10.0.0.0/8", "matchOperator": "NotIn", "prefixLength": {"min": 24}}
    cluster.has_filter("guard", exportV4=[wish])
    expected = (rule("accept", "10.0.0.0/8", 24, 32), rule("reject", "0.0.0.0/0", 0, 32))
    assert expected == cluster.rules("guard.export")


ROUTES = (
    "0.0.0.0/0",
    "10.0.0.0/7",
    "10.0.0.0/8",
    "10.128.0.0/9",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "11.0.0.0/8",
    "9.9.9.9/32",
)


@pytest.mark.parametrize(
    ("wish", "left"),
    [
        ({"matchOperator": "NotIn"}, {"10.0.0.0/8", "10.128.0.0/9", "10.1.2.0/24", "10.1.2.3/32"}),
        ({"matchOperator": "NotIn", "prefixLength": {"min": 9, "max": 24}}, {"10.128.0.0/9", "10.1.2.0/24"}),
        ({"matchOperator": "NotEqual"}, {"10.0.0.0/8"}),
    ],
)
def test_what_is_outside_may_be_spoken_of_before_other_rules(
    cluster: Cluster, wish: dict[str, Any], left: set[str]
) -> None:
    first = {"action": "Reject", "cidr": "10.0.0.0/8", **wish}
    cluster.has_filter("one", exportV4=[first, {"action": "Reject", "cidr": "192.0.2.0/24"}])
    cluster.has_filter("two")
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, filters=["one", "two"])
    assert left == {route for route in ROUTES if passes(cluster.rules("one.export"), route)}
    assert left == {route for route in ROUTES if passes(cluster.rules("peer.tor.export"), route)}
    assert () == cluster.notices


def passes(rules: tuple[FilterRule, ...], route: str) -> bool:
    """Tell whether a route passes rules as BIRD reads them."""
    found = ipaddress.IPv4Network(route)
    for each in rules:
        inside = found.subnet_of(ipaddress.IPv4Network(each.prefix))
        low, high = each.low or 0, 32 if each.high is None else each.high
        if inside and low <= found.prefixlen <= high:
            return each.action is Action.ACCEPT
    return True


def test_a_peer_with_a_filter_uses_its_two_documents(cluster: Cluster) -> None:
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, filters=["guard"])
    nothing = "nothing is told to the peer, nor taken from it, until there is"
    assert (f"spec.filters: there is no BGPFilter guard: {nothing}",) == cluster.notices
    assert {"peer_tor": (False, False)} == cluster.passing()
    cluster.has_filter("guard", exportV4=[{"action": "Reject"}])
    found = cluster.peers["peers/tor"]
    assert isinstance(found, Peer)
    assert ("guard.export", "guard.import") == (found.export_filter, found.import_filter)
    assert {"peer_tor": (True, True)} == cluster.passing()
    assert NOTED not in cluster.translation.notices


def test_of_several_filters_one_that_is_missing_lets_nothing_pass(cluster: Cluster) -> None:
    cluster.has_filter("one", exportV4=[{"action": "Accept"}])
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, filters=["one", "two", "three"])
    assert {"peer_tor": (False, False)} == cluster.passing()
    assert ["BGPFilter two", "BGPFilter three"] == [
        notice.split(": ")[1].removeprefix("there is no ") for notice in cluster.notices
    ]
    cluster.has_filter("two")
    cluster.has_filter("three")
    assert ({"peer_tor": (True, True)}, ()) == (cluster.passing(), cluster.notices)


def test_a_peer_with_several_filters_has_their_rules_in_turn(cluster: Cluster) -> None:
    cluster.has_filter("one", exportV4=[{"action": "Accept", "cidr": "10.0.0.0/8"}])
    cluster.has_filter("two", exportV4=[{"action": "Reject"}])
    cluster.has_peer(peerIP="192.0.2.254", asNumber=1, filters=["one", "two"])
    expected = (rule("accept", "10.0.0.0/8", 8, 32), rule("reject", "0.0.0.0/0", 0, 32))
    assert expected == cluster.rules("peer.tor.export")
    cluster.has_filter("one", exportV4=[{"action": "Accept", "cidr": "10.0.0.0/9"}])
    assert rule("accept", "10.0.0.0/9", 9, 32) == cluster.rules("peer.tor.export")[0]
