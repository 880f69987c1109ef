# SPDX-License-Identifier: Apache-2.0
"""Router advertisements: what a guest's kernel is told (RFC 4861, section 4.2)."""

import struct

import msgspec
import pytest

from buoy.model.address import Address, packed, unpacked
from buoy.model.guest import GuestConfig, Offer6
from buoy.render.dhcp import answer
from buoy.render.dhcp_ra import EVERYONE, Asker, advertisement, solicited
from tests.unit.dhcp import packets
from tests.unit.dhcp.packets import CONFIG, GUEST_LINK_LOCAL, GUEST_RAW, SLAAC, STATEFUL, STATELESS, STATION, Packet6

ON_LINK, AUTONOMOUS = 0x80, 0x40


def with_offers(*offers: Offer6, router: bool = True) -> GuestConfig:
    return msgspec.structs.replace(CONFIG, offers6=offers, router=router)


def options(frame: bytes) -> list[tuple[int, bytes]]:
    """Return type and body of each option; every byte belongs to one."""
    raw = Packet6(frame).payload[16:]
    found = []
    while raw:
        assert raw[1] > 0
        found.append((raw[0], raw[2 : 8 * raw[1]]))
        raw = raw[8 * raw[1] :]
    return found


def prefixes(frame: bytes) -> dict[str, tuple[int, int, int]]:
    """Return flags, valid and preferred lifetime of each advertised prefix."""
    found = {}
    for kind, body in options(frame):
        if kind == 3:
            length, flags, valid, preferred, _, network = struct.unpack("!BBIII16s", body)
            found[f"{unpacked(network)}/{length}"] = flags, valid, preferred
    return found


@pytest.mark.parametrize(
    ("offers", "managed", "other", "flags"),
    [((SLAAC,), 0, 0, AUTONOMOUS), ((STATELESS,), 0, 0x40, AUTONOMOUS), ((STATEFUL,), 0x80, 0x40, 0)],
    ids=["slaac", "dhcpv6-stateless", "dhcpv6-stateful"],
)
def test_flags_follow_the_mode_and_nothing_is_on_link(
    offers: tuple[Offer6, ...], managed: int, other: int, flags: int
) -> None:
    frame = advertisement(with_offers(*offers), STATION)
    assert managed | other == Packet6(frame).payload[5]
    assert {offers[0].subnet: (flags, 86400, 14400)} == prefixes(frame)


def test_header() -> None:
    packet = Packet6(advertisement(CONFIG, STATION))
    assert (134, 0) == (packet.payload[0], packet.payload[1])
    assert (255, STATION.link_local, packed(Address("ff02::1"))) == (packet.ip.hlim, packet.ip.src, packet.ip.dst)
    assert (STATION.mac, bytes.fromhex("333300000001")) == (packet.ethernet.src, packet.ethernet.dst)
    assert 1800 == int.from_bytes(packet.payload[6:8])


def test_without_a_gateway_there_is_no_default_route() -> None:
    assert 0 == int.from_bytes(Packet6(advertisement(with_offers(SLAAC, router=False), STATION)).payload[6:8])


def test_options() -> None:
    found = dict(options(advertisement(with_offers(STATEFUL, STATELESS), STATION)))
    assert STATION.mac == found[1]
    assert 1450 == int.from_bytes(found[5])
    assert (1800).to_bytes(4) + packed(Address("2001:db8::53")) == found[25][2:]
    assert (1800).to_bytes(4) + b"\x07example\x03org\x00".ljust(16, b"\0") == found[31][2:]


def test_what_is_not_known_is_not_said() -> None:
    config = msgspec.structs.replace(with_offers(SLAAC), domain="", mtu=1000)
    assert [1, 3] == [kind for kind, _ in options(advertisement(config, STATION))]


def test_a_lost_prefix_is_taken_back_and_with_the_last_one_the_default_route() -> None:
    frame = advertisement(with_offers(), STATION, gone=[SLAAC.subnet])
    assert {SLAAC.subnet: (AUTONOMOUS, 0, 0)} == prefixes(frame)
    assert 0 == int.from_bytes(Packet6(frame).payload[6:8])


def test_a_solicitation_is_answered_to_its_sender() -> None:
    packet = Packet6(answer(CONFIG, STATION, packets.solicitation()))
    assert (134, GUEST_LINK_LOCAL, GUEST_RAW) == (packet.payload[0], packet.ip.dst, packet.ethernet.dst)


def test_who_has_no_address_yet_is_answered_with_everyone() -> None:
    assert EVERYONE == solicited(CONFIG, packets.solicitation(source=bytes(16), options=b""))
    assert Asker(GUEST_RAW, GUEST_LINK_LOCAL) == solicited(CONFIG, packets.solicitation())


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(packets.solicitation(hops=64), id="from beyond the link"),
        pytest.param(packets.solicitation(options=b"\x01\x00" + GUEST_RAW), id="option of no length"),
        pytest.param(packets.solicitation(options=b"\x01"), id="half an option"),
        pytest.param(packets.solicitation(options=b"\x01\x02" + GUEST_RAW), id="option beyond the packet"),
        pytest.param(packets.frame6(58, b"\x85\x01" + bytes(6), 255), id="code"),
        pytest.param(packets.frame6(58, b"\x87\x00" + bytes(6), 255), id="neighbour solicitation"),
        pytest.param(packets.solicitation().replace(GUEST_RAW, b"\2" * 6, 1), id="another MAC address"),
        pytest.param(packets.solicitation()[:40], id="cut off"),
    ],
)
def test_silence(frame: bytes) -> None:
    assert solicited(CONFIG, frame) is None


def test_a_guest_without_ipv6_hears_nothing() -> None:
    assert solicited(with_offers(), packets.solicitation()) is None
