# SPDX-License-Identifier: Apache-2.0
"""One tracked connection as the kernel tells it: read quickly, for a busy node has hundreds of thousands.

Promises: a flow of TCP, UDP or SCTP is read in a microsecond, any other correctly.
The tricky thing: the kernel writes the attributes of a connection always in one
order, so those of the usual length stand at fixed places; whatever does not look
like that is taken apart attribute by attribute. Source:
linux/netfilter/nfnetlink_conntrack.h, `ctnetlink_fill_info`.
"""

import socket
import struct
from typing import NamedTuple

from buoy.dataplane import netlink

ORIGINAL, REPLY, STATUS, STATUS_MASK = 1, 2, 3, 26
SEEN_REPLY, SNAT, DNAT = 0x02, 0x10, 0x20
"""Bits of a status: it was answered; its source, its destination is translated."""

_ID, _ZONE = 12, 18
# a tuple: its length, then past the headers of what is nested source, destination, protocol and ports
_USUAL: dict[int, struct.Struct] = {
    socket.AF_INET: struct.Struct("=4x HH 8x 4s 4x 4s 8x B 7x 4x 4x 2s 2x H 10x 4s 4x 4s 28x H H 4s"),
    socket.AF_INET6: struct.Struct("=4x HH 8x 16s 4x 16s 8x B 7x 4x 4x 2s 2x H 10x 16s 4x 16s 28x H H 4s"),
}
_TUPLE: dict[int, int] = {socket.AF_INET: 52, socket.AF_INET6: 76}


class Flow(NamedTuple):
    """Addresses both ways, status bits, protocol number, and destination port in network order (empty: none)."""

    source: bytes
    destination: bytes
    reply_source: bytes
    reply_destination: bytes
    status: int
    protocol: int
    port: bytes


def parse(payload: bytes) -> Flow:
    """Return a flow of a dump."""
    family = payload[0]
    usual = _USUAL[family]
    if len(payload) >= usual.size:
        one, _, source, destination, protocol, port, two, back, to, three, kind, status = usual.unpack_from(payload)
        if one == two == _TUPLE[family] and (three, kind) == (8, STATUS):
            return Flow(source, destination, back, to, int.from_bytes(status), protocol, port)
    return _unusual(payload)


def _unusual(payload: bytes) -> Flow:
    found = netlink.attributes(payload, 4)
    size = 16 if payload[0] == socket.AF_INET6 else 4
    original, reply = found[ORIGINAL], found[REPLY]
    source, destination = slice(8, 8 + size), slice(12 + size, 12 + 2 * size)
    status = int.from_bytes(found.get(STATUS, b"\0"))
    ports = netlink.attributes(original, 16 + 2 * size)
    return Flow(
        original[source],
        original[destination],
        reply[source],
        reply[destination],
        status,
        original[20 + 2 * size],
        ports.get(3, b""),
    )


def handle(payload: bytes) -> bytes:
    """Return what names a flow of a dump to the kernel: its original tuple, its zone, and which of several it is."""
    found = netlink.attributes(payload, 4)
    named = netlink.nested(ORIGINAL, found[ORIGINAL])
    return named + b"".join(netlink.attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
