# SPDX-License-Identifier: Apache-2.0
"""Ethernet frames in and out: UDP over IPv4 and IPv6, and ICMPv6.

Promises: `received` returns None for whatever is not a whole, unfragmented packet
of these kinds, and never raises; what `udp_frame` and `icmp6_frame` return has
every length and checksum right.
Tricky: checksums of *received* packets are not looked at. A virtual machine with
checksum offload leaves them to hardware that does not exist on a tap.
"""

import struct
from typing import NamedTuple

IPV4 = 0x0800
IPV6 = 0x86DD
UDP = 17
ICMP6 = 58

_UDP = struct.Struct("!HHHH")


class Received(NamedTuple):
    """One packet from a guest: `kind` is the UDP destination port, or the ICMPv6 type; addresses are packed."""

    mac: bytes
    source: bytes
    protocol: int
    kind: int
    hops: int
    payload: bytes


class Way(NamedTuple):
    """From whom to whom a frame goes: MAC addresses (6 bytes) and IP addresses (4 or 16 bytes)."""

    source_mac: bytes
    destination_mac: bytes
    source: bytes
    destination: bytes


def received(frame: bytes) -> Received | None:
    """Return the packet in an Ethernet frame; None if it is none of ours to read."""
    if len(frame) < 34:
        return None
    ethertype = int.from_bytes(frame[12:14])
    if ethertype == IPV4:
        return _received4(frame[6:12], frame[14:])
    return _received6(frame[6:12], frame[14:]) if ethertype == IPV6 else None


def udp_frame(way: Way, ports: tuple[int, int], payload: bytes) -> bytes:
    """Return a frame with a UDP datagram from `ports[0]` to `ports[1]`; the version is that of the addresses."""
    length = 8 + len(payload)
    pseudo = _pseudo_header(way, UDP, length)
    sum_ = _checksum(pseudo + _UDP.pack(*ports, length, 0) + payload)
    datagram = _UDP.pack(*ports, length, sum_) + payload
    if len(way.source) == 4:
        return way.destination_mac + way.source_mac + b"\x08\x00" + _header4(way, length) + datagram
    return way.destination_mac + way.source_mac + b"\x86\xdd" + _header6(way, UDP, length, 64) + datagram


def icmp6_frame(way: Way, message: bytes) -> bytes:
    """Return a frame with an ICMPv6 message, whose checksum field is filled in; hop limit 255 as ND demands."""
    sum_ = _checksum(_pseudo_header(way, ICMP6, len(message)) + message)
    header = _header6(way, ICMP6, len(message), 255)
    body = message[:2] + sum_.to_bytes(2) + message[4:]
    return way.destination_mac + way.source_mac + b"\x86\xdd" + header + body


def _received4(mac: bytes, packet: bytes) -> Received | None:
    size = (packet[0] & 15) * 4
    total = int.from_bytes(packet[2:4])
    fragment = int.from_bytes(packet[6:8]) & 0x3FFF
    if packet[0] >> 4 != 4 or size < 20 or fragment or packet[9] != UDP or not size + 8 <= total <= len(packet):
        return None
    return _datagram(Received(mac, packet[12:16], UDP, 0, packet[8], packet[size:total]))


def _received6(mac: bytes, packet: bytes) -> Received | None:
    if len(packet) < 48 or packet[0] >> 4 != 6:
        return None
    end = 40 + int.from_bytes(packet[4:6])
    if not 48 <= end <= len(packet):
        return None
    bare = Received(mac, packet[8:24], packet[6], packet[40], packet[7], packet[40:end])
    if bare.protocol == UDP:
        return _datagram(bare)
    return bare if bare.protocol == ICMP6 else None


def _datagram(bare: Received) -> Received | None:
    """Strip the UDP header; `bare.payload` holds at least the 8 bytes of it."""
    _, port, length, _ = _UDP.unpack_from(bare.payload)
    if not 8 <= length <= len(bare.payload):
        return None
    return bare._replace(kind=port, payload=bare.payload[8:length])


def _header4(way: Way, length: int) -> bytes:
    bare = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0) + way.source + way.destination
    return bare[:10] + _checksum(bare).to_bytes(2) + bare[12:]


def _header6(way: Way, protocol: int, length: int, hops: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, length, protocol, hops) + way.source + way.destination


def _pseudo_header(way: Way, protocol: int, length: int) -> bytes:
    """RFC 768 and RFC 8200 section 8.1; the four-byte forms sum up to the same for IPv4."""
    return way.source + way.destination + struct.pack("!II", length, protocol)


def _checksum(data: bytes) -> int:
    """RFC 1071: a sum of 16-bit words in ones' complement is a remainder modulo 65535; never 0, which UDP reserves."""
    return 0xFFFF - int.from_bytes(data + b"\0" * (len(data) & 1)) % 0xFFFF
