# SPDX-License-Identifier: Apache-2.0
"""A guest that asks for addresses in the name of many fills nobody's neighbour table but its own share."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from buoy.model.nodestate import Key, PortGuard, Table
from tests.netns.dataplane.world import Guest, World, policy

FLOOD = 300
"""Enough to tell, and too few to push anything else out of the kernel's table, which all namespaces share."""
GATEWAY = bytes([192, 0, 2, 254])
ARP, IPV6 = 0x0806, 0x86DD
EVERYBODY = b"\xff" * 6


@pytest.fixture
def guests(world: World) -> tuple[Guest, Guest]:
    one, two = world.guest(1), world.guest(2)
    assert [] == world.wish(policy(), one.wishes(), two.wishes())
    return one, two


def link(guest: Guest, kind: int) -> socket.socket:
    def make() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        sock.bind(("eth0", kind))
        sock.settimeout(0.5)
        return sock

    return guest.place.inside(make)


def mac(guest: Guest) -> bytes:
    return bytes.fromhex(guest.mac.replace(":", ""))


def arp_request(guest: Guest, sender: bytes) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac(guest) + sender + bytes(6) + GATEWAY
    return EVERYBODY + mac(guest) + struct.pack("!H", ARP) + body


def solicitation(guest: Guest, sender: bytes, target: bytes) -> bytes:
    group = bytes.fromhex("ff0200000000000000000001ff") + target[-3:]
    body = b"\x87\0\0\0" + bytes(4) + target + b"\x01\x01" + mac(guest)
    pseudo = sender + group + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + sender + group
    return b"\x33\x33" + group[-4:] + mac(guest) + struct.pack("!H", IPV6) + header + body


def is_answered(guest: Guest, sender: bytes) -> bool:
    """Tell whether a guest that asks for its gateway hears where it is."""
    with link(guest, ARP) as wire:
        wire.send(arp_request(guest, sender))
        return any(frame[20:22] == b"\0\x02" and frame[28:32] == GATEWAY for frame in heard(wire))


def heard(wire: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield wire.recv(200)
        except TimeoutError:
            return


def neighbours(world: World, guest: Guest, *beginning: str) -> int:
    """Return how many addresses with this beginning the node has learned from a guest."""
    return sum(line.startswith(beginning) for line in world.node.ip("neigh", "show", "dev", guest.tap).splitlines())


@pytest.mark.parametrize("guarded", [True, False])
def test_a_flood_of_arp_requests_leaves_few_neighbours_and_others_are_answered(
    world: World, guests: tuple[Guest, Guest], *, guarded: bool
) -> None:
    flooding, other = guests
    if not guarded:
        world.wish({Key(Table.GUARD, (flooding.tap,)): PortGuard(None, ())})
    assert is_answered(flooding, bytes([192, 0, 2, 1]))
    with link(flooding, ARP) as wire:
        for number in range(FLOOD):
            wire.send(arp_request(flooding, bytes([10, 77, number >> 8, number & 255])))
    assert 0 < neighbours(world, flooding, "10.77.") < FLOOD // 4
    assert (True, True) == (is_answered(other, bytes([192, 0, 2, 2])), is_answered(flooding, bytes([192, 0, 2, 1])))


def test_a_flood_of_solicitations_leaves_few_neighbours_and_others_are_answered(
    world: World, guests: tuple[Guest, Guest]
) -> None:
    flooding, other = guests
    shown = {guest.tap: world.node.ip("-6", "-o", "addr", "show", "dev", guest.tap) for guest in guests}
    own = {tap: socket.inet_pton(socket.AF_INET6, text.split()[3].split("/")[0]) for tap, text in shown.items()}
    with link(flooding, IPV6) as wire:
        for number in range(FLOOD):
            sender = bytes.fromhex("fe80000000000000007700000000") + number.to_bytes(2)
            wire.send(solicitation(flooding, sender, own[flooding.tap]))
    assert 0 < neighbours(world, flooding, "fe80::77:") < FLOOD // 4
    with link(other, IPV6) as wire:
        sender = bytes.fromhex("fe800000000000000077000000000002")
        wire.send(solicitation(other, sender, own[other.tap]))
        assert any(frame[54] == 136 and frame[62:78] == own[other.tap] for frame in heard(wire) if len(frame) >= 78)


def test_who_asked_is_forgotten_within_two_seconds(world: World, guests: tuple[Guest, Guest]) -> None:
    one, _ = guests
    assert is_answered(one, bytes([192, 0, 2, 1]))
    asked = time.monotonic()
    assert "192.0.2.1 expires" in world.node.exec("nft", "list", "set", "arp", "buoy", "senders")
    while "192.0.2.1" in world.node.exec("nft", "list", "set", "arp", "buoy", "senders"):
        assert time.monotonic() < asked + 4
        time.sleep(0.05)


def test_sets_of_another_version_give_way(world: World) -> None:
    world.host.close()
    world.node.exec("nft", "delete table arp buoy; delete table inet buoy; add table inet buoy; add table arp buoy")
    world.node.exec(
        "nft", "add set arp buoy senders { type ipv4_addr; }; add set inet buoy senders6 { type ipv6_addr; }"
    )
    world.host = world.fresh_host()
    assert "ifname . ipv4_addr" in world.node.exec("nft", "list", "set", "arp", "buoy", "senders")
