# SPDX-License-Identifier: Apache-2.0
"""Route, neighbour, rule and link messages: to bytes and back, nothing else.

Promises: what `parse_*` returns can be given to `*_message` to name exactly that
object. The tricky thing: a route's identity for the kernel is table, prefix,
metric, type and next hop together, so a `Variant` carries them all. Sources:
rtnetlink(7), linux/rtnetlink.h, linux/neighbour.h, linux/fib_rules.h.
"""

import functools
import socket
import struct
from typing import NamedTuple

from buoy.dataplane import netlink
from buoy.model.address import Address, Mac, Prefix, packed, split, unpacked
from buoy.model.ownership import ARP_MARK, ARP_TABLE, ROUTE_PROTOCOL

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWRULE, DELRULE, GETRULE = 32, 33, 34
RULE_MARK, RULE_TABLE = 10, 15
GROUP_LINK, GROUP_NEIGH, GROUP_ROUTE4, GROUP_ROUTE6, GROUP_NETCONF4, GROUP_NETCONF6 = 1, 3, 7, 11, 24, 25
GROUP_RULE4, GROUP_RULE6 = 8, 19
EVERY_INTERFACE = -1
"""In netconf notifications: the setting of the node as a whole."""
NEWNETCONF = 80
UNICAST, BLACKHOLE, UNREACHABLE, PROHIBIT = 1, 6, 7, 8
IFF_UP = 1

_ROUTE = struct.Struct("=BBBBBBBBI")
_USUAL = struct.Struct("=BBBBBBBBI I I I 4s I I I I")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_LINK = struct.Struct("=BxHiII")
_HOP = struct.Struct("=HBBI")
_U32 = struct.Struct("=I")
_SCOPE_LINK, _SCOPE_UNIVERSE, _SCOPE_NOWHERE = 253, 0, 255
_DST, _OIF, _GATEWAY, _PRIORITY, _MULTIPATH, _VIA, _TABLE, _NEXTHOP = 1, 4, 5, 6, 9, 18, 15, 30
_USUAL_KINDS = [8 | kind << 16 for kind in (_TABLE, _DST, _PRIORITY, _OIF)]
"""Length and kind of each attribute of such a route, as one number; read so on little-endian machines only."""
_FIB_MATCH, _LOOKUP_TABLE = 0x2000, 0x1000
_FORWARDING = 2
_DEAD, _LINK_DOWN = 0x1, 0x10
_PERMANENT = 0x80
_IFNAME, _AF_SPEC = 3, 26
_ARP_PRIORITY = 32768
"""After main and default: only what they do not answer comes here."""


class Variant(NamedTuple):
    """One route of one prefix; `ifindex` is the interface, 0 for none; `plain` False for one we never make."""

    kind: int
    metric: int
    ifindex: int
    plain: bool = True


class RouteSeen(NamedTuple):
    """A route as the kernel told it."""

    table: int
    prefix: Prefix
    protocol: int
    variant: Variant


def _family(text: str) -> int:
    return socket.AF_INET6 if ":" in text else socket.AF_INET


def route_message(kind: int, flags: int, table: int, prefix: Prefix, variant: Variant) -> bytes:
    """Return a request about one route of ours."""
    network, length = split(prefix)
    family = _family(network)
    scope = _SCOPE_LINK if variant.kind == UNICAST and family == socket.AF_INET else _SCOPE_UNIVERSE
    if kind == DELROUTE:
        scope = _SCOPE_NOWHERE
    header = _ROUTE.pack(family, length, 0, 0, 0, ROUTE_PROTOCOL, scope, variant.kind, 0)
    about = _about(table, variant.metric, variant.ifindex if variant.kind == UNICAST else 0)
    return netlink.message(kind, flags, header + netlink.attribute(_DST, packed(network)) + about)


@functools.lru_cache(4096)
def _about(table: int, metric: int, index: int) -> bytes:
    """Return what thousands of routes have in common: all but the destination."""
    parts = netlink.attribute(_TABLE, _U32.pack(table)) + netlink.attribute(_PRIORITY, _U32.pack(metric))
    return parts + (netlink.attribute(_OIF, _U32.pack(index)) if index else b"")


def route_dump(family: int, table: int, index: int = 0, protocol: int = ROUTE_PROTOCOL, kind: int = 0) -> bytes:
    """Return a dump of routes of one table, filtered by the kernel; 0: of all interfaces, protocols or kinds."""
    header = _ROUTE.pack(family, 0, 0, 0, 0, protocol, 0, kind, 0)
    parts = netlink.attribute(_TABLE, _U32.pack(table))
    if index:
        parts += netlink.attribute(_OIF, _U32.pack(index))
    return netlink.message(GETROUTE, netlink.DUMP, header + parts)


def route_request(address: Address) -> bytes:
    """Return the question which route the kernel takes to an address, and in which table it is."""
    raw, family = packed(address), _family(address)
    # for IPv6 the table is always told, and refused to be asked for
    flags = _FIB_MATCH | (_LOOKUP_TABLE if family == socket.AF_INET else 0)
    header = _ROUTE.pack(family, len(raw) * 8, 0, 0, 0, 0, 0, 0, flags)
    return netlink.message(GETROUTE, 0, header + netlink.attribute(_DST, raw))


def parse_route(payload: bytes) -> RouteSeen | None:
    """Return a route, or None for what is no unicast, blackhole or unreachable IP route."""
    if len(payload) == _USUAL.size and (usual := _usual_route(payload)):
        return usual
    family, length, _, tos, short, protocol, _, kind, flags = _ROUTE.unpack_from(payload)
    if family not in (socket.AF_INET, socket.AF_INET6) or flags & 0x200:
        return None
    found = netlink.attributes(payload, 12)
    table = _U32.unpack(found[_TABLE])[0] if _TABLE in found else short
    metric = _U32.unpack(found[_PRIORITY])[0] if _PRIORITY in found else 0
    index = _U32.unpack(found[_OIF])[0] if _OIF in found and kind == UNICAST else 0
    raw = found.get(_DST) or bytes(4 if family == socket.AF_INET else 16)
    plain = not tos and found.keys().isdisjoint((_GATEWAY, _MULTIPATH, _VIA, _NEXTHOP))
    return RouteSeen(table, Prefix(f"{unpacked(raw)}/{length}"), protocol, Variant(kind, metric, index, plain))


def is_down(payload: bytes) -> bool:
    """Tell whether the link of a route that the kernel told is down or has no carrier."""
    return bool(_ROUTE.unpack_from(payload)[-1] & (_DEAD | _LINK_DOWN))


def ways(payload: bytes) -> frozenset[int]:
    """Return the interfaces of a route that the kernel told, of all its next hops."""
    found = netlink.attributes(payload, 12)
    hops = found.get(_MULTIPATH, b"")
    indexes = {_U32.unpack(found[_OIF])[0]} if _OIF in found else set()
    while hops:
        length, _, _, index = _HOP.unpack_from(hops)
        indexes.add(index)
        hops = hops[(length + 3) & ~3 :]
    return frozenset(indexes)


def is_closed(payload: bytes) -> bool:
    """Tell whether a netconf notification says that an interface forwards no IPv4 now."""
    return payload[0] == socket.AF_INET and netlink.attributes(payload, 4).get(_FORWARDING) == bytes(4)


def _usual_route(payload: bytes) -> RouteSeen | None:
    """Return a plain IPv4 route by a device, as nearly all of ours are, in a third of the time; None for any other."""
    family, length, _, tos, _, protocol, _, kind, flags, *found = _USUAL.unpack(payload)
    if found[::2] != _USUAL_KINDS or (family, kind, tos, flags & 0x200) != (socket.AF_INET, UNICAST, 0, 0):
        return None
    table, raw, metric, index = found[1::2]
    return RouteSeen(table, Prefix(f"{unpacked(raw)}/{length}"), protocol, Variant(kind, metric, index))


class NeighbourSeen(NamedTuple):
    """A neighbour entry as the kernel told it; `permanent` and of our protocol, or not ours."""

    ifindex: int
    address: Address
    mac: Mac | None
    ours: bool


def neighbour_message(kind: int, flags: int, index: int, address: Address, mac: Mac | None) -> bytes:
    """Return a request about one permanent neighbour; a removal needs no `mac`."""
    header = _NEIGHBOUR.pack(_family(address), index, _PERMANENT, 0, 0)
    parts = netlink.attribute(1, packed(address)) + netlink.attribute(12, bytes([ROUTE_PROTOCOL]))
    if mac is not None:
        parts += netlink.attribute(2, bytes.fromhex(mac.replace(":", "")))
    return netlink.message(kind, flags, header + parts)


def neighbour_dump(family: int) -> bytes:
    """Return a dump of all neighbours; the kernel cannot filter them by protocol."""
    return netlink.message(GETNEIGH, netlink.DUMP, _NEIGHBOUR.pack(family, 0, 0, 0, 0))


def parse_neighbour(payload: bytes) -> NeighbourSeen | None:
    """Return an IP neighbour, or None for bridges' and proxies' entries."""
    family, index, state, flags, _ = _NEIGHBOUR.unpack_from(payload)
    found = netlink.attributes(payload, 12)
    if family not in (socket.AF_INET, socket.AF_INET6) or 1 not in found or flags & 0x08:
        return None
    ours = bool(state & _PERMANENT) and found.get(12, b"\0")[0] == ROUTE_PROTOCOL
    mac = Mac(found[2].hex(":")) if len(found.get(2, b"")) == 6 else None
    return NeighbourSeen(index, unpacked(found[1]), mac, ours)


class LinkSeen(NamedTuple):
    """An interface as the kernel told it; `settings` are IPv4 and IPv6 devconf arrays, empty if not told."""

    ifindex: int
    name: str
    up: bool
    conf4: bytes
    conf6: bytes


def link_dump() -> bytes:
    """Return a dump of all interfaces."""
    return netlink.message(GETLINK, netlink.DUMP, _LINK.pack(0, 0, 0, 0, 0))


def link_request(index: int) -> bytes:
    """Return a request for one interface."""
    return netlink.message(GETLINK, 0, _LINK.pack(0, 0, index, 0, 0))


def arp_rule_message(kind: int) -> bytes:
    """Return a request about the rule that leads marked packets, and only those, to our ARP table."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 1, 0)
    values = ((6, _ARP_PRIORITY), (RULE_MARK, ARP_MARK), (RULE_TABLE, ARP_TABLE), (16, 0xFFFFFFFF))
    parts = [netlink.attribute(kind, _U32.pack(value)) for kind, value in values]
    parts.append(netlink.attribute(21, bytes([ROUTE_PROTOCOL])))
    flags = netlink.CREATE | netlink.EXCL if kind == NEWRULE else 0
    return netlink.message(kind, flags, header + b"".join(parts))


def rule_dump(family: int = socket.AF_INET) -> bytes:
    """Return a dump of all rules of a family."""
    return netlink.message(GETRULE, netlink.DUMP, struct.pack("=B11x", family))


def parse_link(payload: bytes) -> LinkSeen | None:
    """Return an interface, or None for a message of a bridge about its port."""
    family, _, index, flags, _ = _LINK.unpack_from(payload)
    found = netlink.attributes(payload, 16)
    if family != socket.AF_UNSPEC or _IFNAME not in found:
        return None
    per_family = netlink.attributes(found.get(_AF_SPEC, b""))
    conf4 = netlink.attributes(per_family.get(socket.AF_INET, b"")).get(1, b"")
    conf6 = netlink.attributes(per_family.get(socket.AF_INET6, b"")).get(2, b"")
    # the kernel takes any bytes for a name
    name = found[_IFNAME].rstrip(b"\0").decode(errors="backslashreplace")
    return LinkSeen(index, name, bool(flags & IFF_UP), conf4, conf6)
