# SPDX-License-Identifier: Apache-2.0
"""A guest may send anything: the answer is a frame or silence, never an exception."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from buoy.model.address import Address, packed
from buoy.render.dhcp import answer
from buoy.render.dhcp_frame import received
from tests.unit.dhcp import packets
from tests.unit.dhcp.packets import CONFIG, GUEST_RAW, STATION

VALID = [
    packets.request4(1, {55: b"\x01\x79\xf9", 57: b"\x05\xdc", 61: b"\x01abc"}),
    packets.request4(3, {50: bytes(4)}),
    packets.request6(1, packets.ia_na(1, "2001:db8:2::7")),
    packets.request6(11),
    packets.solicitation(),
]


@given(st.binary(max_size=400))
@example(b"")
def test_noise(raw: bytes) -> None:
    assert answer(CONFIG, STATION, raw) is None


@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(12, 600), st.integers(0, 255)), max_size=8))
def test_a_good_frame_with_bytes_changed(frame: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(frame)
    for at, value in changes:
        if at < len(changed):
            changed[at] = value
    reply = answer(CONFIG, STATION, bytes(changed))
    assert reply is None or reply[:12] in (
        GUEST_RAW + STATION.mac,
        b"\xff" * 6 + STATION.mac,
        bytes.fromhex("333300000001") + STATION.mac,
    )


@given(st.sampled_from(VALID), st.integers(0, 600))
def test_a_good_frame_cut_anywhere(frame: bytes, end: int) -> None:
    whole = answer(CONFIG, STATION, frame)
    assert answer(CONFIG, STATION, frame[:end]) == (whole if end >= len(frame) else None)


@given(st.binary(max_size=300))
def test_any_dhcpv4_options(raw: bytes) -> None:
    frame = packets.request4(1)
    header = frame[42 : 42 + 240] + raw
    udp = struct.pack("!HHHH", 68, 67, 8 + len(header), 0) + header
    ip = frame[14:16] + (20 + len(udp)).to_bytes(2) + frame[18:34]
    reply = answer(CONFIG, STATION, frame[:14] + ip + udp)
    assert reply is None or reply[6:12] == STATION.mac


@given(st.integers(0, 255), st.binary(max_size=300))
def test_any_dhcpv6_options(kind: int, raw: bytes) -> None:
    body = bytes([kind, 1, 2, 3]) + struct.pack("!HH", 1, 4) + b"abcd" + raw
    frame = packets.frame6(17, struct.pack("!HHHH", 546, 547, 8 + len(body), 0) + body)
    reply = answer(CONFIG, STATION, frame)
    assert reply is None or reply[6:12] == STATION.mac


def test_fragments_other_protocols_and_false_lengths_are_not_read() -> None:
    good = packets.request4(1)
    assert received(good) is not None
    for at, value in ((14, 0x65), (14, 0x44), (16, 0xFF), (20, 0x20), (21, 0x01), (23, 6), (38, 0xFF), (39, 7)):
        bad = bytearray(good)
        bad[at] = value
        if at == 39:
            bad[38] = 0
        assert received(bytes(bad)) is None, at
    for at, value in ((14, 0x40), (18, 0xFF), (20, 6)):
        bad = bytearray(packets.request6(1))
        bad[at] = value
        assert received(bytes(bad)) is None, at


def test_a_short_ipv6_packet_is_none() -> None:
    empty = packets.frame6(17, b"")
    assert received(empty) is None
    assert received(empty + bytes(20)) is None


def test_a_checksum_left_to_the_hardware_does_not_matter() -> None:
    frame = bytearray(packets.request4(1))
    frame[40:42] = b"\xde\xad"
    assert answer(CONFIG, STATION, bytes(frame)) is not None


def test_arp_is_somebody_elses() -> None:
    arp = b"\xff" * 6 + GUEST_RAW + b"\x08\x06" + bytes(28) + packed(Address("192.0.2.1"))
    assert received(arp) is None
