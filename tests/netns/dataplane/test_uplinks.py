# SPDX-License-Identifier: Apache-2.0
"""An interface towards a peer that forwards no IPv4: of others' interfaces the only ones that are looked at."""

import pytest

from buoy.dataplane import sysctls
from buoy.model.address import Address
from buoy.model.errors import DataplaneError
from buoy.model.nodestate import Key, LinkSettings, Table
from tests.netns.dataplane.world import OUTSIDE, OUTSIDE6, Guest, World

SETTING = "net.ipv4.conf.up0.forwarding"
LINK = Key(Table.LINK, ("tap1",))


@pytest.fixture
def guest(world: World) -> Guest:
    guest = world.guest(1)
    world.wish(guest.wishes(None))
    world.host.disturbances()
    return guest


def forwarding(world: World, interface: str = "up0") -> str:
    return world.node.exec("sysctl", "-n", f"net.ipv4.conf.{interface}.forwarding").strip()


@pytest.mark.parametrize("peer", [OUTSIDE, OUTSIDE6], ids=str)
@pytest.mark.parametrize("overtaken", [False, True], ids=["heard", "found"])
def test_an_uplink_that_was_turned_off_is_told_and_repaired(
    world: World, guest: Guest, peer: str, *, overtaken: bool
) -> None:
    world.host.uplinks.follow([Address(peer)])
    assert frozenset() == world.host.disturbances().keys
    world.node.exec("sysctl", "-qw", f"{SETTING}=0")
    if overtaken:
        world.host._kernel.links.observe(None)
    assert frozenset({LINK}) == world.host.disturbances().keys
    assert (("up0",), {LINK: LinkSettings(complete=False)}) == (world.host.uplinks.closed(), world.host.observe([LINK]))
    assert [] == world.wish(guest.wishes(None))
    assert ((), {LINK: LinkSettings()}, "1") == (
        world.host.uplinks.closed(), world.host.observe([LINK]), forwarding(world),
    )  # fmt: skip


def test_one_that_is_off_already_when_the_peers_become_known_is_told(world: World, guest: Guest) -> None:
    world.node.exec("sysctl", "-qw", f"{SETTING}=0")
    assert frozenset() == world.host.disturbances().keys
    world.host.uplinks.follow([Address(OUTSIDE)])
    assert frozenset({LINK}) == world.host.disturbances().keys


def test_one_that_nobody_may_open_is_told_and_hinders_no_tap(
    world: World, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = sysctls._put

    def refuse_uplink(path: str, value: int) -> None:
        if "/up0/" in path:
            raise DataplaneError(f"sysctl {path}={value}", "Permission denied")
        put(path, value)

    monkeypatch.setattr(sysctls, "_put", refuse_uplink)
    world.node.exec("sysctl", "-qw", f"{SETTING}=0")
    world.host.uplinks.follow([Address(OUTSIDE)])
    another = world.guest(2)
    assert [] == world.wish(guest.wishes(None), another.wishes(None))
    both = [LINK, Key(Table.LINK, (another.tap,))]
    assert (dict.fromkeys(both, LinkSettings()), ("up0",)) == (world.host.observe(both), world.host.uplinks.closed())
    monkeypatch.undo()
    for value, keys in (("1", set()), ("0", set(both))):
        world.host.disturbances()
        world.node.exec("sysctl", "-qw", f"{SETTING}={value}")
        assert keys == world.host.disturbances().keys
    assert [] == world.wish(guest.wishes(None), another.wishes(None))
    assert ((), "1") == (world.host.uplinks.closed(), forwarding(world))


def test_one_that_is_opened_by_hand_is_not_told_any_more(world: World, guest: Guest) -> None:
    world.host.uplinks.follow([Address(OUTSIDE)])
    told = []
    for value in "010":
        world.node.exec("sysctl", "-qw", f"{SETTING}={value}")
        world.host.disturbances()
        told.append(world.host.uplinks.closed())
    assert [("up0",), (), ("up0",)] == told


def test_every_way_to_a_peer_is_an_uplink_and_no_other_interface_is(world: World, guest: Guest) -> None:
    for name in ("up1", "up2"):
        world.node.ip("link", "add", name, "up", "type", "veth")
    world.node.ip("route", "add", "203.0.113.1", "nexthop", "dev", "up0", "nexthop", "dev", "up1")
    world.host.uplinks.follow([Address("203.0.113.1"), Address("203.0.113.2")])
    for name in ("up0", "up1", "up2"):
        world.node.exec("sysctl", "-qw", f"net.ipv4.conf.{name}.forwarding=0")
    assert frozenset({LINK}) == world.host.disturbances().keys
    assert ("up0", "up1") == world.host.uplinks.closed()
    assert [] == world.wish(guest.wishes(None))
    assert ["1", "1", "0"] == [forwarding(world, name) for name in ("up0", "up1", "up2")]
