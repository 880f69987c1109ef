# SPDX-License-Identifier: Apache-2.0
"""Whether the host has a route to a pod, and is told when one comes or goes, whichever way that happens."""

import pytest

from buoy.model.address import Address
from tests.e2e.cloud import eventually
from tests.netns.dataplane.world import World

POD, POD6, OTHER = Address("10.244.1.5"), Address("2001:db8:244::5"), Address("10.244.1.6")
PODS = frozenset({POD, POD6})


@pytest.fixture
def joined(world: World) -> World:
    """A world in which a network plugin has connected a pod, and is watched for it; all else leads to the outside."""
    world.node.ip("link", "add", "cali1", "type", "veth", "peer", "name", "pod1")
    for end in ("cali1", "pod1"):
        world.node.ip("link", "set", end, "up")
    world.node.wait_for_carrier("cali1")
    world.node.ip("route", "add", "default", "via", "198.51.100.9")
    world.node.ip("-6", "route", "add", "default", "dev", "up0")
    route(world, "add")
    world.host.attached.follow(PODS)
    told(world)
    assert frozenset() == world.host.attached.unrouted()
    return world


def route(world: World, verb: str, *words: str) -> None:
    for address in PODS:
        world.node.ip("route", verb, address, *(words or ("dev", "cali1")))


def told(world: World) -> frozenset[Address]:
    return world.host.disturbances().attached


def test_without_a_route_of_its_own_a_pod_is_not_reached_by_the_default_one(joined: World) -> None:
    route(joined, "del")
    assert (PODS, PODS) == (told(joined), joined.host.attached.unrouted())
    route(joined, "add")
    assert (PODS, frozenset()) == (told(joined), joined.host.attached.unrouted())
    assert frozenset() == told(joined)


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_nor_by_a_route_that_leads_nowhere(joined: World, kind: str) -> None:
    for address in PODS:
        joined.node.ip("route", "del", address)
        joined.node.ip("route", "add", kind, address)
    assert PODS == told(joined)


def test_the_route_of_a_whole_block_of_pods_is_one(joined: World) -> None:
    joined.node.ip("route", "del", POD)
    assert {POD} == told(joined)
    joined.node.ip("route", "add", "10.244.1.0/24", "dev", "cali1")
    assert {POD} == told(joined)


def test_a_route_of_another_table_counts_where_a_rule_leads_there(joined: World) -> None:
    joined.node.ip("route", "del", POD)
    joined.node.ip("rule", "add", "to", POD, "lookup", "777")
    joined.node.ip("route", "add", POD, "dev", "cali1", "table", "777")
    told(joined)
    assert frozenset() == joined.host.attached.unrouted()


def test_a_rule_alone_that_leads_elsewhere_is_heard_in_both_families(joined: World) -> None:
    for address in PODS:
        joined.node.ip("-6" if ":" in address else "-4", "rule", "add", "to", address, "prohibit", "priority", "1")
    assert PODS == told(joined)


@pytest.mark.parametrize(
    "broken", [("cali1", "down"), ("pod1", "down")], ids=["its interface is down", "it has no carrier"]
)
def test_a_link_that_is_down_takes_its_routes_without_a_word(joined: World, broken: tuple[str, str]) -> None:
    joined.node.ip("link", "set", *broken)
    eventually(lambda: (told(joined), joined.host.attached.unrouted())[1], PODS.__eq__)


def test_an_interface_that_vanishes_does_too(joined: World) -> None:
    joined.node.ip("link", "del", "cali1")
    assert PODS == told(joined)


def test_only_what_is_followed_is_told_of(joined: World) -> None:
    joined.host.attached.follow({POD, OTHER})
    assert {OTHER} == joined.host.attached.unrouted()
    route(joined, "del")
    assert {POD} == told(joined)
    joined.host.attached.follow(())
    joined.node.ip("route", "add", POD, "dev", "cali1")
    assert (frozenset(), frozenset()) == (told(joined), joined.host.attached.unrouted())


def test_asking_is_not_repeated_for_the_routes_of_others(joined: World) -> None:
    before = joined.host.messages
    for number in range(20):
        joined.node.ip("route", "add", f"203.0.113.{number}", "dev", "up0")
    told(joined)
    assert before == joined.host.messages
