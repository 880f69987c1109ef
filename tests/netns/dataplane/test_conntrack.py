# SPDX-License-Identifier: Apache-2.0
"""Which tracked connections end, and which go on."""

import socket

import pytest

from buoy.dataplane.driver import Host
from buoy.model.address import Address, Prefix
from buoy.model.nodestate import Flush, Key, Mapping, Phase, PortGuard, Step, Table
from tests.netns.dataplane.place import says
from tests.netns.dataplane.world import NODE, OUTSIDE, Guest, World, policy

FIP1, FIP2 = "203.0.113.1", "203.0.113.2"
UDP = socket.SOCK_DGRAM


@pytest.fixture
def guest(world: World) -> Guest:
    guest = world.guest(1)
    assert [] == world.wish(policy(), guest.wishes(), guest.floating(FIP1))
    return guest


def flush(world: World, *addresses: str) -> None:
    act = Flush(tuple(Address(address) for address in addresses))
    assert [] == world.host.apply([Step(Phase.FLUSH_OLD, act)])


def judge(host: Host, *service_ips: str) -> None:
    """Do what follows a pass over everything."""
    host.flows.judge([Address(address) for address in service_ips])
    while host.flows.go_on():
        continue


def flows(world: World) -> list[str]:
    """Return the original destination of every tracked UDP connection."""
    lines = world.node.exec("conntrack", "-L", "-p", "udp").splitlines()
    return sorted(next(word[4:] for word in line.split() if word.startswith("dst=")) for line in lines)


@pytest.mark.parametrize("address", [FIP1, "192.0.2.1", OUTSIDE])
@pytest.mark.parametrize("padding", [(), tuple(f"203.0.113.{number}" for number in range(100, 110))])
def test_a_flush_ends_the_flows_of_an_address_and_no_other(
    world: World, guest: Guest, address: str, padding: tuple[str, ...]
) -> None:
    two = world.guest(2)
    world.wish(two.wishes())
    server = guest.place.socket(UDP, port=5000)
    assert says(world.outside.socket(UDP), server, (FIP1, 5000))
    assert says(guest.place.socket(UDP), world.outside.socket(UDP, port=5001), (OUTSIDE, 5001))
    world.outside.ip("addr", "add", "198.51.100.20/24", "dev", "eth0")
    assert says(world.outside.socket(UDP, "198.51.100.20"), two.place.socket(UDP, port=5002), (two.address, 5002))
    assert [OUTSIDE, FIP1] == sorted(set(flows(world)) - {two.address})
    flush(world, address, *padding)
    assert [two.address] == flows(world)


@pytest.mark.parametrize(("phase", "left"), [(Phase.FLUSH_NEW, [OUTSIDE]), (Phase.FLUSH_OLD, [])])
def test_of_a_service_ip_what_left_with_it_ends_after_the_change_and_what_came_for_it_before_already(
    world: World, guest: Guest, phase: Phase, left: list[str]
) -> None:
    server = guest.place.socket(UDP, port=5000)
    assert says(world.outside.socket(UDP), server, (FIP1, 5000))
    assert says(guest.place.socket(UDP), world.outside.socket(UDP, port=5001), (OUTSIDE, 5001))
    world.host.apply([Step(phase, Flush((Address(FIP1),), service_ips=(Address(FIP1),)))])
    assert left == flows(world)


def test_what_another_node_began_with_a_service_ip_ends_when_that_comes_here(world: World, guest: Guest) -> None:
    world.outside.ip("addr", "add", f"{FIP2}/32", "dev", "eth0")
    world.node.ip("route", "add", f"{FIP2}/32", "via", OUTSIDE)
    assert says(world.outside.socket(UDP, FIP2), guest.place.socket(UDP, port=5000), (guest.address, 5000))
    assert [guest.address] == flows(world)
    world.host.apply([Step(Phase.FLUSH_NEW, Flush((Address(FIP2),), service_ips=(Address(FIP2),)))])
    assert [] == flows(world)


def test_a_flush_of_what_has_no_handshake_spares_tcp(world: World, guest: Guest) -> None:
    listener, caller = guest.place.socket(socket.SOCK_STREAM, port=80), world.outside.socket(socket.SOCK_STREAM)
    listener.listen()
    caller.connect((FIP1, 80))
    assert says(world.outside.socket(UDP), guest.place.socket(UDP, port=5000), (FIP1, 5000))
    assert [FIP1] == flows(world)
    act = Flush((), (guest.address,))
    assert [] == world.host.apply([Step(Phase.FLUSH_OLD, act)])
    assert [] == flows(world)
    assert FIP1 in world.node.exec("conntrack", "-L", "-p", "tcp")


@pytest.mark.parametrize("others", [0, 9])
def test_a_flush_of_the_unanswered_spares_what_was_answered_and_what_others_began(
    world: World, guest: Guest, others: int
) -> None:
    caller, server = guest.place.socket(UDP), world.outside.socket(UDP, port=5001)
    assert says(caller, server, (OUTSIDE, 5001))
    caller.sendto(b"nobody is there", (OUTSIDE, 5999))
    world.outside.socket(UDP).sendto(b"nor here", (FIP1, 5998))
    # ports of their own sockets may be any other
    known = {"dport=5001", "dport=5999", "dport=5998"}
    assert known == known & set(world.node.exec("conntrack", "-L", "-p", "udp").split())
    act = Flush(unanswered=(guest.address, *(Address(f"203.0.113.{number}") for number in range(others))))
    assert [] == world.host.apply([Step(Phase.FLUSH_NEW, act)])
    assert known - {"dport=5999"} == known & set(world.node.exec("conntrack", "-L", "-p", "udp").split())


def test_ipv6_flows_are_flushed_too(world: World, guest: Guest) -> None:
    world.outside.wait_for_carrier("eth0")
    server, client = guest.place.socket(UDP, "::", 5000), world.outside.socket(UDP, "::")
    assert says(client, server, (guest.address6, 5000))
    listing = ("conntrack", "-L", "-f", "ipv6", "-p", "udp")
    assert guest.address6 in world.node.exec(*listing)
    flush(world, guest.address6)
    assert guest.address6 not in world.node.exec(*listing)


def test_after_a_move_no_packet_of_an_old_flow_reaches_the_old_guest(world: World, guest: Guest) -> None:
    two = world.guest(2)
    world.wish(two.wishes())
    old, new, client = guest.place.socket(UDP, port=5000), two.place.socket(UDP, port=5000), world.outside.socket(UDP)
    assert (OUTSIDE, FIP1) == says(client, old, (FIP1, 5000))
    world.unwish([Key(Table.EGRESS, (guest.address,))])
    world.wish(two.floating(FIP1))
    flush(world, FIP1)
    assert None is says(client, old, (FIP1, 5000))
    assert (OUTSIDE, FIP1) == says(client, new, (FIP1, 5000))


def test_a_crash_between_nat_and_flush_is_healed_by_an_act_and_not_by_looking(world: World, guest: Guest) -> None:
    two = world.guest(2)
    world.wish(two.wishes())
    server, client = guest.place.socket(UDP, port=5000), world.outside.socket(UDP)
    assert says(client, server, (FIP1, 5000))
    kept = two.place.socket(UDP, port=5002)
    assert says(client, kept, (two.address, 5002))
    world.unwish([Key(Table.DNAT, (FIP1,))])
    assert [two.address, FIP1] == flows(world)
    stranger = world.fresh_host()
    stranger.observe(None)
    assert [two.address, FIP1] == flows(world)
    judge(stranger, FIP1)
    stranger.close()
    assert [two.address] == flows(world)


def test_a_flow_that_left_with_a_service_ip_ends_when_that_is_no_more(world: World, guest: Guest) -> None:
    outside = world.outside.socket(UDP, port=5001)
    assert (FIP1, OUTSIDE) == says(guest.place.socket(UDP), outside, (OUTSIDE, 5001))
    judge(world.host, FIP1)
    assert [OUTSIDE] == flows(world)
    world.unwish([Key(Table.EGRESS, (guest.address,))])
    judge(world.host, FIP2)
    assert [OUTSIDE] == flows(world)
    judge(world.host, FIP1)
    assert [] == flows(world)


def test_a_flow_of_one_port_ends_with_its_mapping_though_another_leads_to_the_same_guest(world: World) -> None:
    guest = world.guest(1)
    both = {Key(Table.MAPPING, (FIP1, "udp", str(port))): Mapping(guest.address, port) for port in (5000, 5001)}
    announced = {key: entry for key, entry in guest.floating(FIP1).items() if key.table is Table.ANNOUNCEMENT}
    assert [] == world.wish(policy(), guest.wishes(), both, announced)
    for port in (5000, 5001):
        assert says(world.outside.socket(UDP), guest.place.socket(UDP, port=port), (FIP1, port))
    world.unwish([Key(Table.MAPPING, (FIP1, "udp", "5000"))])
    judge(world.host, FIP1)
    assert [FIP1] == flows(world)
    assert "dport=5001" in world.node.exec("conntrack", "-L", "-p", "udp")


def test_what_was_answered_untranslated_is_looked_for_by_a_new_agent_and_after_a_refused_flush(
    world: World, guest: Guest
) -> None:
    world.node.ip("route", "add", "203.0.113.9/32", "dev", guest.tap)
    guest.place.ip("addr", "add", "203.0.113.9/32", "dev", "eth0")
    sources = tuple((guest.mac, Prefix(f"{each}/32")) for each in (guest.address, "203.0.113.9"))
    world.wish({Key(Table.GUARD, (guest.tap,)): PortGuard("all", sources)})
    server = guest.place.socket(UDP, "203.0.113.9", 5000)
    assert says(world.outside.socket(UDP), server, ("203.0.113.9", 5000))
    judge(world.host, "203.0.113.9")
    world.wish(guest.floating("203.0.113.9", egress=False))
    assert ["203.0.113.9"] == flows(world)
    stranger = world.fresh_host()
    judge(stranger, "203.0.113.9")
    stranger.close()
    assert [] == flows(world)


def test_ten_thousand_connections_are_judged_in_several_steps(world: World, guest: Guest) -> None:
    sockets = world.outside.socket(UDP)
    client = guest.place.socket(UDP)
    for port in range(10_000, 20_000):
        sockets.sendto(b"?", (FIP1, port))
        client.sendto(b"?", (OUTSIDE, port))
    world.unwish([Key(Table.DNAT, (FIP1,))])
    world.host.flows.judge([Address(FIP1)])
    steps = 1
    while world.host.flows.go_on():
        steps += 1
    assert (True, set()) == (steps > 2, set(flows(world)) - {OUTSIDE})
    assert not world.host.flows.go_on()


def test_a_flow_begun_before_its_association_is_not_left_untranslated(world: World, guest: Guest) -> None:
    client, server = world.outside.socket(UDP), guest.place.socket(UDP, port=5000)
    world.node.ip("route", "add", "203.0.113.9/32", "via", OUTSIDE)
    assert None is says(client, server, ("203.0.113.9", 5000))
    world.wish(guest.floating("203.0.113.9", egress=False))
    judge(world.host, "203.0.113.9")
    assert (OUTSIDE, "203.0.113.9") == says(client, server, ("203.0.113.9", 5000))


def test_right_flows_and_those_of_others_survive_an_audit(world: World, guest: Guest) -> None:
    masquerade = (
        "table ip other { chain c { type nat hook postrouting priority 90; ip saddr 192.0.2.2 masquerade; }; }\n"
    )
    world.node.exec("nft", "-f", "-", text=masquerade)
    two = world.guest(2)
    world.wish(two.wishes())
    outside = world.outside.socket(UDP, port=5001)
    assert says(world.outside.socket(UDP), guest.place.socket(UDP, port=5000), (FIP1, 5000))
    assert says(guest.place.socket(UDP), outside, (OUTSIDE, 5001))
    assert ("198.51.100.1", OUTSIDE) == says(two.place.socket(UDP), outside, (OUTSIDE, 5001))
    leads_on = f"type nat hook prerouting priority -110; ip daddr {{ {NODE}, 203.0.113.77 }} dnat to {two.address};"
    world.node.exec("nft", f"add table ip hers {{ chain c {{ {leads_on} }}; }}")
    server = two.place.socket(UDP, port=5003)
    for led in (NODE, "203.0.113.77"):
        assert says(world.outside.socket(UDP), server, (led, 5003))
    before = flows(world)
    judge(world.host, FIP1, FIP2)
    assert before == flows(world)
    assert {NODE, "203.0.113.77"} <= set(before)
