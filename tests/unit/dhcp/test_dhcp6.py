# SPDX-License-Identifier: Apache-2.0
"""DHCPv6: what a guest hears to each message (RFC 8415, section 18.3)."""

import struct

import msgspec
import pytest

from buoy.model.address import Address, packed, unpacked
from buoy.model.guest import GuestConfig
from buoy.model.workload import DhcpOption
from buoy.render.dhcp6 import (
    ADVERTISE,
    CONFIRM,
    DECLINE,
    INFORMATION_REQUEST,
    REBIND,
    RELEASE,
    RENEW,
    REPLY,
    REQUEST,
    SERVER_ID,
    SOLICIT,
    answer6,
    options6,
)
from tests.unit.dhcp import packets
from tests.unit.dhcp.packets import CLIENT_ID6, CONFIG, GUEST_LINK_LOCAL, GUEST_RAW, STATION, TAP_RAW, Packet6, ia_na

OWN = "2001:db8:2::7"
FOREIGN = "2001:db8:9::9"
US = (2, SERVER_ID)
SUCCESS, NO_ADDRESSES, NOT_ON_LINK, NO_PREFIXES = (code.to_bytes(2) for code in (0, 2, 4, 6))


def answer(frame: bytes, config: GuestConfig = CONFIG) -> bytes | None:
    return answer6(config, STATION.mac, STATION.link_local, frame)


def leased(raw: bytes | None) -> dict[str, int]:
    """Return address and valid lifetime of each address in an IA_NA."""
    assert raw is not None
    found = {}
    for code, body in packets.options6(raw[12:]):
        if code == 5:
            address, preferred, valid = struct.unpack("!16sII", body)
            assert preferred == valid
            found[str(Address(unpacked(address)))] = valid
    return found


def test_solicit_is_advertised_with_the_highest_preference() -> None:
    packet = Packet6(answer(packets.request6(SOLICIT, ia_na(7))))
    assert (bytes([ADVERTISE]) + b"\x01\x02\x03") == packet.message[:4]
    assert {2: SERVER_ID, 1: CLIENT_ID6, 7: b"\xff"} == {code: packet.option(code) for code in (1, 2, 7)}
    assert {OWN: 3600} == leased(packet.option(3))


def test_the_answer_goes_from_our_link_local_address_to_the_guests() -> None:
    packet = Packet6(answer(packets.request6(SOLICIT, ia_na(7))))
    assert (STATION.link_local, GUEST_LINK_LOCAL) == (packet.ip.src, packet.ip.dst)
    assert (TAP_RAW, GUEST_RAW) == (packet.ethernet.src, packet.ethernet.dst)


def test_rapid_commit_is_a_reply_at_once() -> None:
    packet = Packet6(answer(packets.request6(SOLICIT, ia_na(7), (14, b""))))
    assert (REPLY, b"", None) == (packet.message[0], packet.option(14), packet.option(7))


def test_times_and_identity_of_the_association() -> None:
    body = Packet6(answer(packets.request6(REQUEST, US, ia_na(7)))).option(3)
    assert body is not None
    assert (7, 1800, 2880) == struct.unpack_from("!III", body)


@pytest.mark.parametrize("kind", [REQUEST, RENEW])
def test_whoever_names_us_is_answered(kind: int) -> None:
    packet = Packet6(answer(packets.request6(kind, US, ia_na(1, OWN))))
    assert REPLY == packet.message[0]
    assert {OWN: 3600} == leased(packet.option(3))


def test_rebinding_takes_away_what_is_not_the_guests_any_more() -> None:
    packet = Packet6(answer(packets.request6(REBIND, ia_na(1, FOREIGN))))
    assert {OWN: 3600, FOREIGN: 0} == leased(packet.option(3))


def test_a_second_association_gets_no_address() -> None:
    packet = Packet6(answer(packets.request6(SOLICIT, ia_na(1), ia_na(2))))
    second = [raw for code, raw in packet.options if code == 3][1]
    assert [(13, NO_ADDRESSES)] == packets.options6(second[12:])


def test_temporary_addresses_and_prefixes_are_refused_in_so_many_words() -> None:
    packet = Packet6(answer(packets.request6(SOLICIT, (4, b"\0\0\0\1"), (25, b"\0\0\0\2" + bytes(8)))))
    temporary, delegated = packet.option(4), packet.option(25)
    assert temporary is not None
    assert delegated is not None
    assert (b"\0\0\0\1", [(13, NO_ADDRESSES)]) == (temporary[:4], packets.options6(temporary[4:]))
    assert (b"\0\0\0\2", [(13, NO_PREFIXES)]) == (delegated[:4], packets.options6(delegated[12:]))


@pytest.mark.parametrize(
    ("held", "status"), [((OWN,), SUCCESS), ((OWN, FOREIGN), NOT_ON_LINK), ((FOREIGN,), NOT_ON_LINK)]
)
def test_confirm(held: tuple[str, ...], status: bytes) -> None:
    packet = Packet6(answer(packets.request6(CONFIRM, ia_na(1, *held), (6, b"\0\x17"))))
    assert (REPLY, status) == (packet.message[0], packet.option(13))


@pytest.mark.parametrize("kind", [RELEASE, DECLINE])
def test_giving_back_is_confirmed(kind: int) -> None:
    packet = Packet6(answer(packets.request6(kind, US, ia_na(1, OWN))))
    assert (REPLY, SUCCESS) == (packet.message[0], packet.option(13))


@pytest.mark.parametrize("client", [CLIENT_ID6, None])
def test_information_request(client: bytes | None) -> None:
    config = msgspec.structs.replace(CONFIG, offers6=(packets.STATELESS,))
    packet = Packet6(answer(packets.request6(INFORMATION_REQUEST, client=client), config))
    assert (REPLY, client) == (packet.message[0], packet.option(1))
    assert packed(Address("2001:db8::53")) == packet.option(23)
    assert b"\x07example\x03org\x00" == packet.option(24)
    assert (3600).to_bytes(4) == packet.option(32)


def test_a_guest_without_a_stateful_subnet_has_no_address_to_get() -> None:
    config = msgspec.structs.replace(CONFIG, offers6=(packets.SLAAC,), domain="")
    packet = Packet6(answer(packets.request6(SOLICIT, ia_na(1)), config))
    assert {} == leased(packet.option(3))
    assert (None, None) == (packet.option(23), packet.option(24))


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(packets.request6(SOLICIT, ia_na(1), client=None), id="no client"),
        pytest.param(packets.request6(SOLICIT, US, ia_na(1)), id="solicit that names a server"),
        pytest.param(packets.request6(REQUEST, ia_na(1)), id="request that names none"),
        pytest.param(packets.request6(RENEW, (2, b"other"), ia_na(1)), id="another server's"),
        pytest.param(packets.request6(INFORMATION_REQUEST, ia_na(1)), id="information request with addresses"),
        pytest.param(packets.request6(INFORMATION_REQUEST, (2, b"other")), id="information request to another"),
        pytest.param(packets.request6(CONFIRM, ia_na(1)), id="confirm of nothing"),
        pytest.param(packets.request6(CONFIRM, (3, b"short")), id="confirm of a broken association"),
        pytest.param(packets.request6(SOLICIT, (3, b"short")), id="broken association"),
        pytest.param(packets.request6(SOLICIT, (3, bytes(12) + b"\0\5\0\1\0")), id="broken address"),
        pytest.param(packets.request6(SOLICIT, (3, bytes(12) + b"\0\5\0\1")), id="option beyond the association"),
        pytest.param(packets.request6(12), id="relayed"),
        pytest.param(packets.frame6(17, struct.pack("!HHHH", 546, 547, 11, 0) + b"\1\2\3"), id="three bytes"),
        pytest.param(packets.frame6(17, struct.pack("!HHHH", 546, 547, 13, 0) + b"\1\1\2\3\0"), id="half an option"),
        pytest.param(packets.request6(SOLICIT).replace(GUEST_LINK_LOCAL, packed(Address(OWN))), id="not link-local"),
        pytest.param(packets.request6(SOLICIT).replace(GUEST_RAW, b"\2" * 6, 1), id="another MAC address"),
    ],
)
def test_silence(frame: bytes) -> None:
    assert answer(frame) is None


def test_a_guest_without_ipv6_hears_nothing() -> None:
    assert answer(packets.request6(SOLICIT), msgspec.structs.replace(CONFIG, offers6=())) is None


def test_extra_options_win_and_the_unwritable_is_named() -> None:
    options = (
        DhcpOption(name="dns-server", value="2001:db8::1", version=6),
        DhcpOption(name="domain-search", value="", version=6),
        DhcpOption(name="sntp-server", value="192.0.2.1", version=6),
        DhcpOption(name="mtu", value="1400"),
    )
    known, wrong = options6(msgspec.structs.replace(CONFIG, options=options))
    assert {23: packed(Address("2001:db8::1"))} == known
    assert ["extra_dhcp_opts[sntp-server].opt_value"] == [error.field for error in wrong]
