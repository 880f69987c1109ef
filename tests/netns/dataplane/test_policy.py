# SPDX-License-Identifier: Apache-2.0
"""What may pass, as the guest sees the packet."""

import socket
import struct
import time
from functools import partial

import pytest

from buoy.model.address import Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import Combination, GroupMember, GroupRules, Key, PortGuard, Table
from tests.netns.dataplane.place import says
from tests.netns.dataplane.world import NODE, OUTSIDE, OUTSIDE6, Guest, World, policy

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
IN4 = partial(Rule, side=Side.INGRESS, family=4)
OUT4 = partial(Rule, side=Side.EGRESS, family=4)
FIP = "203.0.113.1"


def reaches(world: World, guest: Guest, port: int, to: str = "") -> bool:
    server, client = guest.place.socket(UDP, port=port), world.outside.socket(UDP)
    return says(client, server, (to or guest.address, port)) is not None


def leaves(world: World, guest: Guest, port: int = 5000, source: str = "") -> bool:
    server, client = world.outside.socket(UDP, port=port), guest.place.socket(UDP, source)
    return says(client, server, (OUTSIDE, port)) is not None


def test_an_unknown_tap_passes_nothing_in_either_direction(world: World) -> None:
    guest = world.guest(1)
    wishes = {key: entry for key, entry in guest.wishes().items() if key.table is not Table.GUARD}
    assert [] == world.wish(wishes)
    assert (False, False) == (reaches(world, guest, 5000), leaves(world, guest))


def test_policy_is_in_place_before_the_tap_is(world: World) -> None:
    key = Key(Table.GUARD, ("tap1",))
    source = (Mac("fa:16:3e:00:00:01"), Prefix("192.0.2.1/32"))
    assert [] == world.wish(policy((OUT4(),)), {key: PortGuard("all", (source,))})
    guest = world.guest(1)
    world.wish(guest.wishes())
    assert (False, True) == (reaches(world, guest, 5000), leaves(world, guest))


def test_a_foreign_tap_is_not_judged(world: World) -> None:
    world.host.close()
    world.host = world.fresh_host(foreign=("tap1",))
    guest = world.guest(1)
    world.wish({key: entry for key, entry in guest.wishes().items() if key.table is not Table.GUARD})
    assert (True, True) == (reaches(world, guest, 5000), leaves(world, guest))


def test_port_security_off_passes_everything_but_to_the_node(world: World) -> None:
    guest = world.guest(1)
    world.wish(guest.wishes(), {Key(Table.GUARD, (guest.tap,)): PortGuard(None, ())})
    server, client = world.node.socket(UDP, port=5000), guest.place.socket(UDP)
    assert (True, True) == (reaches(world, guest, 5000), leaves(world, guest))
    assert None is says(client, server, (NODE, 5000))


@pytest.mark.parametrize(
    ("rule", "port", "passes"),
    [
        (IN4(protocol=17, first=5000, last=5010), 5005, True),
        (IN4(protocol=17, first=5000, last=5010), 5011, False),
        (IN4(protocol=6, first=5000, last=5010), 5005, False),
        (IN4(protocol=17), 5000, True),
        (IN4(prefix=Prefix("198.51.100.0/28")), 5000, True),
        (IN4(prefix=Prefix("198.51.100.0/29")), 5000, False),
        (IN4(prefix=Prefix("0.0.0.0/0")), 5000, True),
        (Rule(side=Side.INGRESS, family=6), 5000, False),
        (OUT4(), 5000, False),
    ],
)
def test_ingress_rules(world: World, rule: Rule, port: int, passes: bool) -> None:
    guest = world.guest(1)
    assert [] == world.wish(policy((rule,)), guest.wishes())
    assert passes is reaches(world, guest, port)


def test_ingress_through_a_floating_ip_is_judged_by_the_clients_address(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy((IN4(prefix=Prefix(f"{OUTSIDE}/32")),)), guest.wishes(), guest.floating(FIP))
    assert reaches(world, guest, 5000, FIP)
    world.wish(policy((IN4(prefix=Prefix("203.0.113.0/24")),)))
    assert not reaches(world, guest, 5001, FIP)


def test_egress_to_a_floating_ip_is_judged_by_the_address_the_guest_dialled(world: World) -> None:
    one, two = world.guest(1), world.guest(2)
    dial = policy((OUT4(prefix=Prefix(f"{FIP}/32")),), "dial")
    assert [] == world.wish(policy(), dial, one.wishes("dial"), two.wishes(), two.floating(FIP))
    server, client = two.place.socket(UDP, port=5000), one.place.socket(UDP)
    assert (one.address, FIP) == says(client, server, (FIP, 5000))
    assert None is says(one.place.socket(UDP), server, (two.address, 5000))


def test_icmp_by_type(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy((IN4(protocol=1, first=8, last=0),)), guest.wishes())
    assert "1 received" in world.outside.exec("ping", "-c1", "-W1", guest.address)
    world.wish(policy((IN4(protocol=1, first=13),)))
    sock = world.outside.socket(UDP)
    assert None is says(sock, guest.place.socket(UDP, port=5000), (guest.address, 5000))


def test_remote_groups_by_host_and_by_prefix(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy((IN4(group="friends"),)), guest.wishes())
    assert not reaches(world, guest, 5000)
    host, wide, inner = (
        Key(Table.MEMBER, ("friends", prefix)) for prefix in (f"{OUTSIDE}/32", "198.51.100.0/24", "198.51.100.0/25")
    )
    assert [] == world.wish({host: GroupMember()})
    assert reaches(world, guest, 5001)
    world.unwish([host])
    assert not reaches(world, guest, 5002)
    assert [] == world.wish({wide: GroupMember(), inner: GroupMember()})
    assert reaches(world, guest, 5003)
    world.unwish([wide])
    assert reaches(world, guest, 5004)
    world.unwish([inner])
    assert not reaches(world, guest, 5005)


def test_two_groups_allow_what_either_allows(world: World) -> None:
    guest = world.guest(1)
    world.wish(
        {
            Key(Table.GROUP, ("a",)): GroupRules((IN4(protocol=17, first=5000, last=5000),)),
            Key(Table.GROUP, ("b",)): GroupRules((IN4(protocol=17, first=6000, last=6000),)),
            Key(Table.COMBINATION, ("ab",)): Combination(("a", "b")),
        },
        guest.wishes("ab"),
    )
    assert [True, True, False] == [reaches(world, guest, port) for port in (5000, 6000, 7000)]


def test_a_guest_cannot_send_from_an_address_that_is_not_its_own(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    guest.place.ip("addr", "add", "192.0.2.99/32", "dev", "eth0")
    world.node.ip("route", "add", "192.0.2.99/32", "dev", guest.tap)
    assert (True, False) == (leaves(world, guest), leaves(world, guest, 5001, "192.0.2.99"))


def test_an_allowed_pair_with_a_network_may_be_sent_from(world: World) -> None:
    guest = world.guest(1)
    nets = (
        (guest.mac, Prefix("192.0.2.64/26")),
        (guest.mac, Prefix("192.0.2.96/28")),
        (guest.mac, Prefix("192.0.2.1/32")),
    )
    assert [] == world.wish(policy(), guest.wishes(), {Key(Table.GUARD, (guest.tap,)): PortGuard("all", nets)})
    guest.place.ip("addr", "add", "192.0.2.99/32", "dev", "eth0")
    world.node.ip("route", "add", "192.0.2.99/32", "dev", guest.tap)
    assert leaves(world, guest, 5001, "192.0.2.99")


def test_a_guest_cannot_send_from_a_mac_that_is_not_its_own(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    guest.place.ip("link", "set", "eth0", "address", "fa:16:3e:ff:ff:ff")
    world.node.ip("neigh", "replace", guest.address, "lladdr", "fa:16:3e:ff:ff:ff", "dev", guest.tap)
    assert not leaves(world, guest)


def test_ipv6_sources_are_checked_too(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    world.outside.wait_for_carrier("eth0")
    server, client = world.outside.socket(UDP, "::", 5000), guest.place.socket(UDP, guest.address6)
    assert (guest.address6, OUTSIDE6) == says(client, server, (OUTSIDE6, 5000))
    guest.place.ip("addr", "add", "2001:db8:2::99/128", "dev", "eth0", "nodad")
    world.node.ip("route", "add", "2001:db8:2::99/128", "dev", guest.tap)
    assert None is says(guest.place.socket(UDP, "2001:db8:2::99"), server, (OUTSIDE6, 5000))


def test_guests_reach_nothing_on_the_node(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    client = guest.place.socket(UDP)
    loopback = world.node.socket(UDP, "127.0.0.1", 5001)
    guest.place.ip("link", "set", "lo", "down")
    guest.place.ip("route", "add", "127.0.0.1/32", "via", "192.0.2.254")
    guest.place.exec("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    assert None is says(client, world.node.socket(UDP, port=5000), (NODE, 5000))
    assert None is says(client, loopback, ("127.0.0.1", 5001))


def test_metadata_reaches_the_node_with_the_fixed_address_as_source(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy((IN4(),)), guest.wishes(), guest.floating(FIP))
    server = world.node.socket(TCP, "127.0.0.1", 8775)
    server.listen()
    client = guest.place.socket(TCP)
    client.settimeout(1)
    client.connect(("169.254.169.254", 80))
    accepted, seen = server.accept()
    accepted.send(b"!")
    assert (guest.address, b"!") == (seen[0], client.recv(1))


def test_a_removed_rule_ends_established_flows_at_once(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    server, client = guest.place.socket(UDP, port=5000), world.outside.socket(UDP)
    assert says(client, server, (guest.address, 5000))
    world.wish(policy((OUT4(),)))
    assert None is says(client, server, (guest.address, 5000))


@pytest.mark.parametrize("port", [67, 547, 5000])
def test_no_server_of_the_node_hears_a_guest(world: World, port: int) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    assert None is says(guest.place.socket(UDP, port=port + 1 if port == 67 else port - 1),
                        world.node.socket(UDP, port=port), (NODE, port))  # fmt: skip


ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")


def arp_answers(guest: Guest, target: str, source: str) -> bool:
    """Tell whether somebody answers a guest's ARP request for an address."""
    sock = guest.place.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806)))
    guest.place.inside(lambda: sock.bind(("eth0", 0x806)))
    mac, wanted = bytes.fromhex(guest.mac.replace(":", "")), socket.inet_aton(target)
    asked = (b"\xff" * 6, mac, 0x806, 1, 0x800, 6, 4, 1, mac, socket.inet_aton(source), bytes(6), wanted)
    sock.send(ARP.pack(*asked))
    end = time.monotonic() + 0.3
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            answer = ARP.unpack_from(sock.recv(100))
        except TimeoutError:
            return False
        if (2, wanted) == (answer[7], answer[9]):
            return True
    return False


@pytest.mark.parametrize(
    ("target", "source", "answered"),
    [
        ("192.0.2.254", "192.0.2.1", True),
        ("192.0.2.77", "192.0.2.1", True),
        ("169.254.169.254", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", False),
        ("192.0.2.1", "0.0.0.0", False),
    ],
)
def test_on_a_node_without_default_route_arp_is_answered_for_all_but_the_guests_own_address(
    world: World, target: str, source: str, answered: bool
) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes())
    assert answered is arp_answers(guest, target, source)
