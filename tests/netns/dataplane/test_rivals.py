# SPDX-License-Identifier: Apache-2.0
"""Routes of others to the address of a guest, which the kernel takes instead of ours: left alone, and named."""

import pytest

from buoy.model.nodestate import Key, Route, Table
from tests.netns.dataplane.world import Guest, World


@pytest.fixture
def guest(world: World) -> Guest:
    guest = world.guest(1)
    world.host.disturbances()
    return guest


@pytest.mark.parametrize(
    "by_hand", [("via", "198.51.100.9"), ("proto", "static", "metric", "15", "dev", "lo")], ids=" ".join
)
@pytest.mark.parametrize("overtaken", [False, True], ids=["heard", "found"])
def test_a_route_that_anothers_comes_before_is_not_there_until_the_other_goes(
    world: World, guest: Guest, by_hand: tuple[str, ...], *, overtaken: bool
) -> None:
    key = Key(Table.ROUTE, ("192.0.2.1/32",))
    wish = {key: Route("tap1")}
    world.wish(wish)
    world.node.ip("link", "set", "lo", "up")
    world.node.ip("address", "add", "198.51.100.1/24", "dev", "lo")
    world.host.disturbances()
    world.node.ip("route", "add", "192.0.2.1/32", *by_hand)
    if overtaken:
        world.host.observe(None)
    else:
        assert frozenset({key}) == world.host.disturbances().keys
    assert wish != world.host.observe([key])
    assert [True] == ["ip route show 192.0.2.1/32" in failure.error for failure in world.wish(wish)]
    assert 2 == len(world.node.ip("route", "show", "192.0.2.1/32").splitlines())
    world.host.disturbances()
    world.node.ip("route", "del", "192.0.2.1/32", *by_hand)
    assert frozenset({key}) == world.host.disturbances().keys
    assert wish == world.host.observe([key])
    assert [] == world.wish(wish)


@pytest.mark.parametrize(("verb", "hidden_by"), [("prepend", "192.0.2.1/32 dev up0 metric 16 proto 3"), ("append", "")])
def test_of_two_routes_of_one_metric_the_kernel_says_which_it_takes(
    world: World, guest: Guest, verb: str, hidden_by: str
) -> None:
    key = Key(Table.ROUTE, ("192.0.2.1/32",))
    world.wish({key: Route("tap1")})
    world.host.disturbances()
    world.node.ip("route", verb, "192.0.2.1/32", "dev", "up0", "metric", "16")
    assert frozenset({key}) == world.host.disturbances().keys
    stranger = world.fresh_host()
    assert {key: Route("tap1", hidden_by)} == stranger.observe(None) == world.host.observe([key])
    stranger.close()
    world.node.ip("route", "del", *(hidden_by or "192.0.2.1/32 dev up0 metric 16").split())
    assert {key: Route("tap1")} == world.host.observe([key])


def test_another_route_in_the_place_of_ours_is_left_where_ours_comes_before_it_again(
    world: World, guest: Guest
) -> None:
    key = Key(Table.ROUTE, ("192.0.2.1/32",))
    world.wish({key: Route("tap1")})
    world.node.ip("route", "replace", "192.0.2.1/32", "dev", "up0", "metric", "16")
    assert {} == world.host.observe([key])
    assert [] == world.wish({key: Route("tap1")})
    assert {key: Route("tap1")} == world.host.observe([key])
    assert "dev tap1" in world.node.ip("route", "get", "192.0.2.1")


def test_what_hides_an_ipv6_route_is_named_so_that_it_can_be_removed(world: World, guest: Guest) -> None:
    key = Key(Table.ROUTE, (f"{guest.address6}/128",))
    world.wish({key: Route("tap1")})
    world.node.ip("route", "add", "unreachable", f"{guest.address6}/128", "metric", "7", "proto", "static")
    seen = world.host.observe([key])[key]
    assert isinstance(seen, Route)
    assert seen.hidden_by.startswith(f"unreachable {guest.address6}/128 ")
    world.node.ip("route", "del", *seen.hidden_by.split())
    assert {key: Route("tap1")} == world.host.observe([key])
