# SPDX-License-Identifier: Apache-2.0
"""Packets as bytes, as an attacker writes them: any source, any protocol, any header.

Shapes: addresses and MACs are text, everything else bytes. Checksums are right
where a host on the way or conntrack looks at them (RFC 791, 768, 9293, 792, 4443).
"""

import ipaddress
import struct


def checksum(raw: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(raw) + 1) // 2}H", raw + bytes(len(raw) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def address(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address."""
    return ipaddress.ip_address(text).packed


def mac(text: str) -> bytes:
    """Return the 6 bytes of a MAC."""
    return bytes.fromhex(text.replace(":", ""))


def ip(source: str, destination: str, protocol: int, payload: bytes, *, special: int = 0) -> bytes:
    """Return a packet; `special` is IPv4's flags and fragment offset as in the header, or the hop limit of IPv6."""
    if ":" in destination:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, special or 64)
        return head + address(source) + address(destination) + payload
    parts = (0x45, 0, 20 + len(payload), 7, special, 64, protocol)
    ends = address(source) + address(destination)
    total = checksum(struct.pack("!BBHHHBBH", *parts, 0) + ends)
    return struct.pack("!BBHHHBBH", *parts, total) + ends + payload


def udp(source: str, destination: str, port: int, payload: bytes, *, port_from: int = 4000) -> bytes:
    """Return a UDP packet."""
    head = struct.pack("!HHH", port_from, port, 8 + len(payload))
    total = _summed(source, destination, 17, head + b"\0\0" + payload) or 0xFFFF
    return ip(source, destination, 17, head + struct.pack("!H", total) + payload)


def tcp(source: str, destination: str, port: int, payload: bytes) -> bytes:
    """Return a TCP segment that asks for a connection (SYN)."""
    head = struct.pack("!HHIIBBH", 4000, port, 1, 0, 0x50, 2, 1000)
    total = _summed(source, destination, 6, head + b"\0\0\0\0" + payload)
    return ip(source, destination, 6, head + struct.pack("!HH", total, 0) + payload)


def icmp(source: str, destination: str, kind: int, code: int, payload: bytes) -> bytes:
    """Return an ICMP or ICMPv6 message with an identifier and a sequence number, then the payload."""
    rest = struct.pack("!HH", 7, 1) + payload
    return icmp_raw(source, destination, bytes([kind, code]), rest)


def icmp_raw(source: str, destination: str, kind: bytes, rest: bytes, *, hops: int = 64) -> bytes:
    """Return an ICMP or ICMPv6 message of type and code, with what follows the checksum."""
    raw = kind + b"\0\0" + rest
    six = ":" in destination
    total = _summed(source, destination, 58, raw) if six else checksum(raw)
    body = kind + struct.pack("!H", total) + rest
    return ip(source, destination, 58 if six else 1, body, special=hops if six else 0)


def of_protocol(source: str, destination: str, number: int, port: int, payload: bytes) -> bytes:
    """Return a packet of any protocol: with ports where it begins with them, else with the payload alone."""
    if number == 17:
        return udp(source, destination, port, payload)
    if number == 6:
        return tcp(source, destination, port, payload)
    ports = struct.pack("!HH", 4000, port)
    if number == 132:
        return ip(source, destination, number, _sctp_init(ports, payload))
    if number == 136:
        # a coverage of zero is all of it (RFC 3828)
        total = _summed(source, destination, number, ports + b"\0\0\0\0" + payload)
        return ip(source, destination, number, ports + struct.pack("!HH", 0, total) + payload)
    if number == 33:
        return ip(source, destination, number, _dccp_request(source, destination, ports, payload))
    if number == 47:
        return ip(source, destination, number, struct.pack("!HH", 0, 0x0800) + payload)
    return ip(source, destination, number, payload)


def frame(destination: str, source: str, kind: int, payload: bytes) -> bytes:
    """Return an Ethernet frame."""
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """Return an ARP packet (RFC 826); sender and target are MAC and address."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + b"".join(mac(one) + address(other) for one, other in (sender, target))


def _summed(source: str, destination: str, protocol: int, raw: bytes) -> int:
    return checksum(address(source) + address(destination) + struct.pack("!IHBB", len(raw), 0, 0, protocol) + raw)


def _sctp_init(ports: bytes, payload: bytes) -> bytes:
    """Return an INIT chunk (RFC 9260) that carries the payload as a parameter to be skipped."""
    parameter = struct.pack("!HH", 0x8008, 4 + len(payload)) + payload + bytes(-len(payload) % 4)
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 1, 65536, 1, 1, 1) + parameter
    raw = ports + struct.pack("!II", 0, 0) + chunk
    return raw[:8] + struct.pack("<I", _crc32c(raw)) + raw[12:]


def _crc32c(raw: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in raw:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _dccp_request(source: str, destination: str, ports: bytes, payload: bytes) -> bytes:
    """Return a DCCP-Request (RFC 4340) with a long sequence number and a service code."""
    body = bytes([0, 1]) + b"\0" * 5 + b"\1" + b"\0\0\0\7" + payload + bytes(-len(payload) % 4)
    head = ports + bytes([5, 0])
    return head + struct.pack("!H", _summed(source, destination, 33, head + b"\0\0" + body)) + body
