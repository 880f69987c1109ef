# SPDX-License-Identifier: Apache-2.0
"""Routes, announcements and neighbours as the kernel shows them."""

import json

import pytest

from buoy.model.address import Mac, Prefix
from buoy.model.nodestate import (
    Announcement,
    Change,
    Class,
    Discard,
    Entry,
    Key,
    LinkSettings,
    Neighbour,
    Phase,
    Route,
    Step,
    Table,
)
from tests.netns.dataplane.world import Guest, World, failed

ANNOUNCED = Key(Table.ANNOUNCEMENT, ("203.0.113.1/32",))
ANNOUNCED6 = Key(Table.ANNOUNCEMENT, ("2001:db8:113::1/128",))
POOL = Key(Table.DISCARD, ("203.0.113.0/24",))


@pytest.fixture
def guest(world: World) -> Guest:
    guest = world.guest(1)
    world.host.disturbances()
    return guest


def routes(world: World, *words: str) -> list[str]:
    return sorted(" ".join(line.split()) for line in world.node.ip("route", "show", *words).splitlines())


def test_routes_carry_our_protocol_and_metric(world: World, guest: Guest) -> None:
    wishes: dict[Key, Entry] = {
        Key(Table.ROUTE, ("192.0.2.1/32",)): Route("tap1"),
        POOL: Discard(),
        ANNOUNCED: Announcement("tap1", Class.DRAIN),
        Key(Table.ANNOUNCEMENT, ("203.0.113.2/32",)): Announcement(None),
    }
    assert [] == world.wish(wishes)
    assert wishes == world.host.observe(None)
    assert ["192.0.2.1 dev tap1 scope link metric 16", "blackhole 203.0.113.0/24 metric 16"] == routes(
        world, "table", "main", "proto", "205"
    )
    assert [
        "203.0.113.1 dev tap1 scope link metric 200",
        "unreachable 203.0.113.2 metric 100",
    ] == routes(world, "table", "2053", "proto", "205")


def test_a_stranger_observes_the_same(world: World, guest: Guest) -> None:
    wishes = {**guest.wishes(None), POOL: Discard(), ANNOUNCED6: Announcement("tap1", Class.STANDBY)}
    assert [] == world.wish(wishes)
    stranger = world.fresh_host()
    assert wishes == stranger.observe(None) == world.host.observe(None)
    stranger.close()


def test_a_change_of_class_adds_before_it_deletes(world: World, guest: Guest) -> None:
    world.wish({ANNOUNCED: Announcement("tap1"), ANNOUNCED6: Announcement("tap1")})
    with world.node.watching("route") as told:
        world.wish({key: Announcement("tap1", Class.DRAIN) for key in (ANNOUNCED, ANNOUNCED6)})
    assert [False, False, True, True] == ["Deleted" in words for words in told]
    assert ["200", "200", "100", "100"] == [words[words.index("metric") + 1] for words in told]


def test_a_move_to_another_tap_replaces_so_that_bird_sees_no_withdraw(world: World, guest: Guest) -> None:
    world.guest(2)
    world.wish({ANNOUNCED: Announcement("tap1"), ANNOUNCED6: Announcement("tap1")})
    with world.node.watching("route") as told:
        world.wish({ANNOUNCED: Announcement("tap2"), ANNOUNCED6: Announcement("tap2")})
    assert [] == [words for words in told if "Deleted" in words]
    assert ["203.0.113.1 dev tap2 scope link metric 100"] == routes(world, "table", "2053", "proto", "205")


def test_two_metrics_left_by_a_crash_equal_no_wish_and_are_repaired(world: World, guest: Guest) -> None:
    wish = {ANNOUNCED: Announcement("tap1")}
    world.wish(wish)
    extra = ("203.0.113.1/32", "dev", "tap1", "scope", "link", "table", "2053", "proto", "205", "metric", "200")
    world.node.ip("route", "add", *extra)
    assert frozenset({ANNOUNCED}) == world.host.disturbances().keys
    assert wish != world.host.observe([ANNOUNCED])
    assert [] == world.wish(wish)
    assert wish == world.host.observe(None)
    world.node.ip("route", "add", *extra)
    assert [] == world.unwish([ANNOUNCED])
    assert [] == routes(world, "table", "2053")


def test_what_others_made_is_neither_seen_nor_removed(world: World, guest: Guest) -> None:
    key = Key(Table.ROUTE, ("192.0.2.1/32",))
    world.node.ip("route", "add", "192.0.2.1/32", "dev", "tap1", "proto", "static", "metric", "16")
    world.node.ip("neigh", "add", "192.0.2.1", "lladdr", guest.mac, "dev", "tap1", "nud", "permanent")
    assert {} == world.host.observe(None)
    world.wish({key: Route("tap1")})
    world.unwish([key])
    step = Step(Phase.SWEEP, Change(key, Route("tap1"), None))
    assert [] == world.host.apply([step])
    assert ["192.0.2.1 dev tap1 proto static scope link metric 16"] == routes(world, "192.0.2.1/32")
    assert "192.0.2.1" in world.node.ip("neigh", "show", "dev", "tap1")


@pytest.mark.parametrize("act", [("set", "tap1", "down"), ("del", "tap1")])
def test_routes_that_go_with_their_link_are_told(world: World, guest: Guest, act: tuple[str, ...]) -> None:
    wishes = {**guest.wishes(None), ANNOUNCED: Announcement("tap1")}
    world.wish(wishes)
    world.host.disturbances()
    world.node.ip("link", *act)
    told = world.host.disturbances()
    assert frozenset({"tap1"}) == told.links
    gone = {key for key in wishes if key.table in (Table.ROUTE, Table.ANNOUNCEMENT, Table.NEIGHBOUR)}
    if act[0] == "set":
        assert gone <= told.keys
    assert {} == world.host.observe([key for key in gone if key.table is not Table.NEIGHBOUR])


def test_a_tap_that_goes_down_and_comes_up_is_made_whole(world: World, guest: Guest) -> None:
    wishes = guest.wishes(None)
    world.wish(wishes)
    world.node.ip("link", "set", "tap1", "down")
    world.node.ip("link", "set", "tap1", "up")
    assert wishes.keys() - world.host.observe(wishes.keys()).keys() <= world.host.disturbances().keys
    assert [] == world.wish(wishes)
    assert wishes == world.host.observe(None)


def test_a_tap_that_comes_up_while_we_look_at_its_settings_is_told(world: World, guest: Guest) -> None:
    world.node.ip("link", "set", "tap1", "down")
    world.host.disturbances()
    world.node.ip("link", "set", "tap1", "up")
    # a look at the kernel may overtake the notification, which is then no news
    world.host._kernel.links.observe([Key(Table.LINK, ("tap1",))])
    assert frozenset({"tap1"}) == world.host.disturbances().links


@pytest.mark.parametrize("keys", [[Key(Table.LINK, ("tap1",))], None], ids=["one", "everything"])
def test_a_setting_found_wrong_while_we_look_is_told(world: World, guest: Guest, keys: list[Key] | None) -> None:
    wishes = guest.wishes(None)
    world.wish(wishes)
    world.host.disturbances()
    world.node.exec("sysctl", "-qw", "net.ipv4.conf.tap1.proxy_arp=0")
    # a look at the kernel may overtake the notification, which is then no news
    world.host._kernel.links.observe(keys)
    assert Key(Table.LINK, ("tap1",)) in world.host.disturbances().keys


def test_a_route_found_gone_by_a_dump_is_told(world: World, guest: Guest) -> None:
    world.wish({ANNOUNCED: Announcement("tap1")})
    world.host.observe(None)
    world.host.observe(None)
    world.host.disturbances()
    world.node.ip("route", "del", "203.0.113.1/32", "table", "2053")
    routes = world.host._kernel.routes
    # as if it went between the notifications and the dump
    routes._settle = lambda: None
    routes.observe(None)
    assert frozenset({ANNOUNCED}) == world.host.disturbances().keys


def test_our_own_acts_disturb_nobody(world: World, guest: Guest) -> None:
    wishes = guest.wishes(None)
    world.wish(wishes)
    told = world.host.disturbances()
    assert (frozenset(), False) == (told.keys, told.overrun)
    world.unwish(wishes)
    assert frozenset() == world.host.disturbances().keys


def test_a_route_deleted_by_hand_is_told(world: World, guest: Guest) -> None:
    world.wish(guest.wishes(None))
    world.host.disturbances()
    world.node.ip("route", "del", "192.0.2.1/32", "dev", "tap1", "metric", "16")
    assert Key(Table.ROUTE, ("192.0.2.1/32",)) in world.host.disturbances().keys


def test_a_setting_changed_by_hand_is_told_and_repaired(world: World, guest: Guest) -> None:
    key = Key(Table.LINK, ("tap1",))
    wishes = guest.wishes(None)
    world.wish(wishes)
    world.host.disturbances()
    world.node.exec("sysctl", "-qw", "net.ipv4.conf.tap1.rp_filter=1")
    assert frozenset({key}) == world.host.disturbances().keys
    assert {key: LinkSettings(complete=False)} == world.host.observe([key])
    world.wish(wishes)
    assert "0" == world.node.exec("sysctl", "-n", "net.ipv4.conf.tap1.rp_filter").strip()


@pytest.mark.parametrize(
    "act",
    [
        ("sysctl", "-qw", "net.ipv4.ip_forward=0"),
        ("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"),
        ("ip", "rule", "del", "fwmark", "0x205"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("overtaken", [False, True], ids=["heard", "found"])
def test_what_the_node_as_a_whole_needs_is_told_and_repaired(
    world: World, guest: Guest, act: tuple[str, ...], *, overtaken: bool
) -> None:
    key = Key(Table.LINK, ("tap1",))
    wishes = guest.wishes(None)
    world.wish(wishes)
    world.host.disturbances()
    before = world.node.exec("sysctl", "net.ipv4.conf", "net.ipv6.conf", "-a", "-r", "forwarding")
    world.node.exec(*act)
    if overtaken:
        world.host._kernel.links.observe(None)
    assert key in world.host.disturbances().keys
    assert {key: LinkSettings(complete=False)} == world.host.observe([key])
    assert [] == world.wish(wishes)
    assert wishes == world.host.observe(wishes.keys())
    assert before == world.node.exec("sysctl", "net.ipv4.conf", "net.ipv6.conf", "-a", "-r", "forwarding")
    assert "fwmark 0x205" in world.node.ip("rule")


def test_a_missing_interface_is_refused_and_the_rest_goes_on(world: World, guest: Guest) -> None:
    missing = Key(Table.ROUTE, ("192.0.2.9/32",))
    good = Key(Table.ROUTE, ("192.0.2.1/32",))
    failures = world.wish({missing: Route("tap9"), good: Route("tap1")})
    assert [missing] == [failed(failure) for failure in failures]
    assert "no such interface" in failures[0].error
    assert {good: Route("tap1")} == world.host.observe(None)


def test_an_announcement_waits_when_its_forwarding_was_refused(world: World, guest: Guest) -> None:
    wishes: dict[Key, Entry] = {
        Key(Table.NEIGHBOUR, ("tap9", "192.0.2.9")): Neighbour(Mac("fa:16:3e:00:00:09")),
        Key(Table.ROUTE, ("203.0.113.1/32",)): Route("tap9"),
        ANNOUNCED: Announcement("tap1"),
        Key(Table.ANNOUNCEMENT, ("203.0.113.2/32",)): Announcement("tap1"),
    }
    failures = world.wish(wishes)
    assert ANNOUNCED in [failed(failure) for failure in failures]
    assert {Key(Table.ANNOUNCEMENT, ("203.0.113.2/32",)): Announcement("tap1")} == world.host.observe(None)


def test_a_neighbour_gets_a_new_mac(world: World, guest: Guest) -> None:
    key = Key(Table.NEIGHBOUR, ("tap1", "192.0.2.1"))
    for mac in ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02"):
        assert [] == world.wish({key: Neighbour(Mac(mac))})
        (shown,) = json.loads(world.node.ip("-j", "neigh", "show", "192.0.2.1"))
        assert (mac, ["PERMANENT"]) == (shown["lladdr"], shown["state"])


def test_ten_thousand_routes_come_and_go(world: World, guest: Guest) -> None:
    wishes: dict[Key, Entry] = {
        Key(Table.ROUTE, (Prefix(f"10.0.{number // 256}.{number % 256}/32"),)): Route("tap1")
        for number in range(10_000)
    }
    assert [] == world.wish(wishes)
    assert wishes == world.host.observe(None)
    before = world.host.messages
    one = next(iter(wishes))
    world.unwish([one])
    assert 1 == world.host.messages - before
    assert [] == world.unwish(wishes)
    assert {} == world.host.observe(None)


def test_an_interface_may_have_any_bytes_for_a_name(world: World) -> None:
    world.node.ip("link", "add", "\udce9t\udce9", "type", "veth", "peer", "name", "plain")
    assert "\\xe9t\\xe9" in world.host.disturbances().links
    world.fresh_host().close()
