# SPDX-License-Identifier: Apache-2.0
"""kube-proxy's nftables maps as bytes: which message is about them, and the keys it tells.

Promises to read what kube-proxy 1.29 and later write, and to take anything else for
nothing at all, so that what is not understood is not believed to forward. A key is
address . protocol . port, each part padded to four bytes. The tricky thing: both maps
are read by key alone, for `service-ips` says "forward" by any verdict, and
`no-endpoint-services` refuses by each. Sources: linux/netfilter/nf_tables.h,
kubernetes/pkg/proxy/nftables.
"""

import enum
import functools
import socket
import struct
from collections.abc import Iterator

from buoy.dataplane import netlink, nft_wire
from buoy.model.proxied import ProxyPort

_HEADER = struct.Struct("=HH")
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_ELEMENTS, _KEY, _VALUE = 3, 1, 1
ADDRESS = {socket.AF_INET.value: 4, socket.AF_INET6.value: 16}
"""Bytes of an address in the tables `ip kube-proxy` and `ip6 kube-proxy`, by the family their messages name."""
VERSION = {socket.AF_INET.value: 4, socket.AF_INET6.value: 6}
"""The IP version by the same."""


class Map(enum.Enum):
    """The maps that tell what kube-proxy does with an address."""

    FORWARDED = "service-ips"
    REFUSED = "no-endpoint-services"


def _name(kind: int, text: str) -> bytes:
    return netlink.attribute(kind, text.encode() + b"\0")


_TABLE = _name(1, "kube-proxy")
_SETS = {member: _name(2, member.value) for member in Map}


def concerns(payload: bytes) -> bool:
    """Tell whether a notification is about one of kube-proxy's tables, whatever it says of it."""
    # every message of nf_tables names its table first
    return payload[0] in ADDRESS and payload.startswith(_TABLE, 4)


def named(payload: bytes) -> Map | None:
    """Return the map that a notification which concerns kube-proxy names after its table, None for any other set."""
    return next((member for member, name in _SETS.items() if payload.startswith(name, 4 + len(_TABLE))), None)


def dump(family: int, which: Map) -> bytes:
    """Return a request for all elements of a map."""
    return netlink.message(nft_wire.GETELEMENT, netlink.DUMP, bytes([family, 0, 0, 0]) + _TABLE + _SETS[which])


def keys(payload: bytes) -> Iterator[bytes]:
    """Yield the keys of a message of elements; those of another length than kube-proxy's are passed over."""
    length = ADDRESS[payload[0]] + 8
    usual = _HEADER.pack(length + 8, _KEY) + _HEADER.pack(length + 4, _VALUE)
    for _, element in netlink.each_attribute(netlink.attributes(payload, 4).get(_ELEMENTS, b"")):
        if element.startswith(usual):
            yield element[8 : 8 + length]
        elif len(key := netlink.attributes(netlink.attributes(element).get(_KEY, b"")).get(_VALUE, b"")) == length:
            yield key


@functools.lru_cache(4096)
def port(rest: bytes) -> ProxyPort:
    """Return the port that the last eight bytes of a key name."""
    return ProxyPort(_PROTOCOLS.get(rest[0], str(rest[0])), int.from_bytes(rest[4:6]))
