# SPDX-License-Identifier: Apache-2.0
"""Rules of others that lead packets for a guest past table main: left alone, and named where they surely do."""

import pytest

from buoy.model.nodestate import Key, Route, Table
from tests.netns.dataplane.world import Guest, World, failed

KEY = Key(Table.ROUTE, ("192.0.2.1/32",))
OTHER = Key(Table.ROUTE, ("192.0.2.2/32",))
WISH = {KEY: Route("tap1"), OTHER: Route("tap1")}


@pytest.fixture
def guest(world: World) -> Guest:
    guest = world.guest(1)
    world.wish(WISH)
    world.node.ip("route", "add", "192.0.2.0/28", "dev", "up0", "table", "52")
    world.node.ip("route", "add", "unreachable", "192.0.2.0/28", "table", "53")
    world.node.ip("route", "add", "throw", "192.0.2.0/28", "table", "54")
    world.node.ip("route", "add", "192.0.2.0/28", "dev", "tap1", "table", "55")
    world.host.disturbances()
    return guest


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        ("prio 1 to 192.0.2.1 unreachable", {KEY}),
        ("prio 5270 to 192.0.2.0/30 prohibit", {KEY, OTHER}),
        ("prio 9 blackhole", {KEY, OTHER}),
        ("prio 5270 lookup 52", {KEY, OTHER}),
        ("prio 5270 lookup 53", {KEY, OTHER}),
        ("prio 5270 to 192.0.2.2 lookup 52", {OTHER}),
        ("prio 5270 to 192.0.2.2 lookup 52 suppress_prefixlength 4", {OTHER}),
    ],
)
@pytest.mark.parametrize("overtaken", [False, True], ids=["heard", "found"])
def test_a_route_that_a_rule_leads_past_is_not_there_until_the_rule_goes(
    world: World, guest: Guest, rule: str, keys: set[Key], *, overtaken: bool
) -> None:
    world.node.ip("rule", "add", *rule.split())
    if overtaken:
        world.host.observe(None)
    assert keys == world.host.disturbances().keys & WISH.keys()
    seen = world.host.observe(WISH.keys())
    expected = {key: Route("tap1", bypassed_by=_named(rule)) for key in keys}
    assert {**WISH, **expected} == seen
    failures = world.wish(WISH)
    assert [(key, True) for key in sorted(keys)] == [
        (failed(failure), f"ip -4 rule del {_named(rule)}" in failure.error) for failure in failures
    ]
    world.host.disturbances()
    world.node.ip("rule", "del", *_named(rule).split())
    assert keys == world.host.disturbances().keys & WISH.keys()
    assert WISH == world.host.observe(WISH.keys())
    assert [] == world.wish(WISH)


def _named(rule: str) -> str:
    return rule.replace("192.0.2.1 ", "192.0.2.1/32 ").replace("192.0.2.2 ", "192.0.2.2/32 ")


@pytest.mark.parametrize(
    "rules",
    [
        ("prio 9 lookup 99",),
        ("prio 9 lookup 54",),
        ("prio 9 lookup 55",),
        ("prio 9 to 192.0.2.0/28 lookup 52 suppress_prefixlength 28",),
        ("prio 9 to 198.51.100.0/24 unreachable",),
        ("prio 9 fwmark 0x80000/0xff0000 unreachable",),
        ("prio 9 from 203.0.113.0/24 unreachable",),
        ("prio 9 iif up0 unreachable",),
        ("prio 9 oif up0 unreachable",),
        ("prio 9 ipproto tcp dport 25 unreachable",),
        ("prio 9 tos 0x10 unreachable",),
        ("prio 9 uidrange 0-0 unreachable",),
        ("prio 9 iif lo unreachable", "prio 10 lookup 99"),
        ("prio 9 uidrange 0-0 lookup 52", "prio 10 lookup 52"),
        ("prio 9 goto 32766", "prio 10 unreachable"),
        ("prio 9 lookup main suppress_prefixlength 0", "prio 10 not fwmark 0xca6c lookup 52"),
        ("prio 9 lookup main", "prio 10 unreachable"),
        ("prio 9 to 192.0.2.0/24 lookup main", "prio 10 unreachable"),
        ("prio 40000 unreachable",),
    ],
    ids=", ".join,
)
def test_a_rule_that_may_leave_packets_to_us_names_nothing(world: World, guest: Guest, rules: tuple[str, ...]) -> None:
    for rule in rules:
        world.node.ip("rule", "add", *rule.split())
    assert WISH == world.host.observe(WISH.keys())
    assert [] == world.wish(WISH)


@pytest.mark.parametrize("rule", ["prio 512 to 192.0.2.0/24 lookup main", "prio 5270 lookup 99"])
@pytest.mark.parametrize("beyond", ["", "default dev up0", "blackhole 192.0.2.0/24", "unreachable 192.0.2.0/24"])
def test_no_rule_is_named_for_a_route_that_is_dead_by_itself(
    world: World, guest: Guest, rule: str, beyond: str
) -> None:
    world.node.ip("rule", "add", *rule.split())
    world.node.exec("sysctl", "-qw", "net.ipv4.conf.tap1.ignore_routes_with_linkdown=1")
    guest.place.ip("link", "set", "eth0", "down")
    if beyond:
        world.node.ip("route", "add", *beyond.split())
    assert WISH == world.host.observe(WISH.keys())


def test_a_route_of_table_main_is_no_news_of_ours_though_a_rule_looks_there(world: World, guest: Guest) -> None:
    world.node.ip("rule", "add", "prio", "512", "to", "192.0.2.0/24", "lookup", "main")
    world.host.disturbances()
    world.node.ip("route", "add", "192.0.2.0/24", "dev", "up0")
    assert frozenset() == world.host.disturbances().keys


def test_a_route_that_comes_into_a_table_which_a_rule_asks_first_is_heard(world: World, guest: Guest) -> None:
    world.node.ip("rule", "add", "prio", "5270", "lookup", "99")
    world.host.observe(WISH.keys())
    world.host.disturbances()
    world.node.ip("route", "add", "192.0.2.0/31", "dev", "up0", "table", "99")
    assert frozenset({KEY}) == world.host.disturbances().keys
    assert Route("tap1", bypassed_by="prio 5270 lookup 99") == world.host.observe([KEY])[KEY]
    world.node.ip("route", "del", "192.0.2.0/31", "table", "99")
    assert frozenset({KEY}) == world.host.disturbances().keys
    assert {KEY: Route("tap1")} == world.host.observe([KEY])


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("prio 1 to {0}/128 unreachable", True),
        ("prio 1 blackhole", True),
        ("prio 1 lookup 52", True),
        ("prio 1 lookup 53", True),
        ("prio 1 lookup 99", False),
        ("prio 1 to 2001:db8:3::/64 unreachable", False),
        ("prio 1 fwmark 7 unreachable", False),
    ],
)
def test_what_leads_past_an_ipv6_route_is_named_so_that_it_can_be_removed(
    world: World, guest: Guest, rule: str, *, named: bool
) -> None:
    key = Key(Table.ROUTE, (f"{guest.address6}/128",))
    world.wish({key: Route("tap1")})
    world.node.ip("-6", "route", "add", "2001:db8:2::/64", "dev", "up0", "table", "52")
    world.node.ip("-6", "route", "add", "unreachable", "2001:db8:2::/64", "table", "53")
    words = rule.format(guest.address6)
    world.node.ip("-6", "rule", "add", *words.split())
    assert {key: Route("tap1", bypassed_by=words if named else "")} == world.host.observe([key])
    world.node.ip("-6", "rule", "del", *words.split())
    assert {key: Route("tap1")} == world.host.observe([key])


def test_without_rules_of_others_the_kernel_is_asked_nothing(world: World, guest: Guest) -> None:
    world.node.ip("rule", "add", "prio", "9", "fwmark", "7", "lookup", "52")
    world.host.disturbances()
    before = world.host.messages
    world.host.observe(WISH.keys())
    assert before == world.host.messages
