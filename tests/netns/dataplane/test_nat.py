# SPDX-License-Identifier: Apache-2.0
"""Who sees which address, for every kind of flow a floating IP can have."""

import socket
from typing import TypeAlias

import pytest

from buoy.model.address import Address
from buoy.model.nodestate import Key, Mapping, Relay, Table
from tests.netns.dataplane.place import says
from tests.netns.dataplane.world import NODE, OUTSIDE, Guest, World, internal, policy

FIP1, FIP2 = "203.0.113.1", "203.0.113.2"
UDP = socket.SOCK_DGRAM
Pair: TypeAlias = tuple[World, Guest, Guest]


@pytest.fixture
def pair(world: World) -> Pair:
    one, two = world.guest(1), world.guest(2)
    inside = internal("192.0.2.0/24", "192.0.2.0/25")
    assert [] == world.wish(policy(), one.wishes(), two.wishes(), inside, one.floating(FIP1), two.floating(FIP2))
    return world, one, two


def test_from_outside_the_guest_sees_the_client_and_the_client_the_floating_ip(pair: Pair) -> None:
    world, one, _ = pair
    server, client = one.place.socket(UDP, port=5000), world.outside.socket(UDP)
    assert (OUTSIDE, FIP1) == says(client, server, (FIP1, 5000))


def test_to_outside_a_guest_leaves_with_its_floating_ip(pair: Pair) -> None:
    world, one, _ = pair
    server, client = world.outside.socket(UDP, port=5000), one.place.socket(UDP)
    assert (FIP1, OUTSIDE) == says(client, server, (OUTSIDE, 5000))


def test_an_ingress_only_floating_ip_does_not_hide_the_guest(pair: Pair) -> None:
    world, one, _ = pair
    world.unwish(key for key in one.floating(FIP1) if key.name == (one.address,))
    server, client = world.outside.socket(UDP, port=5000), one.place.socket(UDP)
    assert (one.address, OUTSIDE) == says(client, server, (OUTSIDE, 5000))


def test_inside_guests_see_fixed_addresses(pair: Pair) -> None:
    _, one, two = pair
    server, client = two.place.socket(UDP, port=5000), one.place.socket(UDP)
    assert (one.address, two.address) == says(client, server, (two.address, 5000))


def test_from_floating_ip_to_floating_ip_on_one_node(pair: Pair) -> None:
    _, one, two = pair
    server, client = two.place.socket(UDP, port=5000), one.place.socket(UDP)
    assert (FIP1, FIP2) == says(client, server, (FIP2, 5000))


def test_a_guest_reaches_itself_by_its_floating_ip_and_sees_the_address_it_dialled(pair: Pair) -> None:
    _, one, _ = pair
    server, client = one.place.socket(UDP, port=5000), one.place.socket(UDP)
    assert (FIP1, FIP1) == says(client, server, (FIP1, 5000))


def test_a_guest_without_floating_ip_reaches_one_with_its_fixed_address(pair: Pair) -> None:
    world, _, two = pair
    three = world.guest(3)
    world.wish(three.wishes())
    server, client = two.place.socket(UDP, port=5000), three.place.socket(UDP)
    assert (three.address, FIP2) == says(client, server, (FIP2, 5000))


def test_the_node_itself_reaches_a_floating_ip(pair: Pair) -> None:
    world, one, _ = pair
    world.node.ip("route", "add", "default", "via", OUTSIDE)
    server, client = one.place.socket(UDP, port=5000), world.node.socket(UDP)
    assert (NODE, FIP1) == says(client, server, (FIP1, 5000))


def test_ipv6_is_translated_like_ipv4(pair: Pair) -> None:
    world, one, _ = pair
    service = "2001:db8:113::1"
    assert [] == world.wish(one.floating(service))
    world.outside.wait_for_carrier("eth0")
    server, client = one.place.socket(UDP, "::", 5000), world.outside.socket(UDP, "::")
    assert ("2001:db8:51::10", service) == says(client, server, (service, 5000))
    server, client = world.outside.socket(UDP, "::", 5001), one.place.socket(UDP, one.address6)
    assert (service, "2001:db8:51::10") == says(client, server, ("2001:db8:51::10", 5001))


def test_a_mapped_port_goes_to_its_target_and_others_nowhere(pair: Pair) -> None:
    world, one, _ = pair
    key = Key(Table.MAPPING, ("203.0.113.9", "udp", "53"))
    assert [] == world.wish({key: Mapping(one.address, 5353)})
    server, client = one.place.socket(UDP, port=5353), world.outside.socket(UDP)
    assert (OUTSIDE, "203.0.113.9") == says(client, server, ("203.0.113.9", 53))
    assert None is says(client, server, ("203.0.113.9", 5353))


def test_a_mapped_port_wins_over_the_address(pair: Pair) -> None:
    world, one, two = pair
    assert [] == world.wish({Key(Table.MAPPING, (FIP1, "udp", "53")): Mapping(two.address, 5353)})
    mapped, whole, client = two.place.socket(UDP, port=5353), one.place.socket(UDP, port=54), world.outside.socket(UDP)
    assert (OUTSIDE, FIP1) == says(client, mapped, (FIP1, 53))
    assert (OUTSIDE, FIP1) == says(client, whole, (FIP1, 54))


def test_to_an_endpoint_on_another_node_the_source_becomes_the_service_ip(pair: Pair) -> None:
    world, _, _ = pair
    far = Address("198.51.100.77")
    world.outside.ip("addr", "add", f"{far}/32", "dev", "eth0")
    world.node.ip("route", "add", f"{far}/32", "dev", "up0")
    mapping = {Key(Table.MAPPING, ("203.0.113.9", "udp", "53")): Mapping(far, 5353)}
    assert [] == world.wish(mapping, {Key(Table.RELAY, ("203.0.113.9", far)): Relay()})
    world.outside.ip("route", "add", "203.0.113.9/32", "via", NODE)
    server, client = world.outside.socket(UDP, far, 5353), world.outside.socket(UDP, OUTSIDE)
    assert ("203.0.113.9", "203.0.113.9") == says(client, server, ("203.0.113.9", 53))


def test_a_guest_reaches_itself_also_by_a_floating_ip_it_does_not_leave_with(pair: Pair) -> None:
    world, one, _ = pair
    assert [] == world.wish(one.floating("203.0.113.9", egress=False))
    server, client = one.place.socket(UDP, port=5000), one.place.socket(UDP)
    assert ("203.0.113.9", "203.0.113.9") == says(client, server, ("203.0.113.9", 5000))
