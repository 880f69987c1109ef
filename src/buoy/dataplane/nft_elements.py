# SPDX-License-Identifier: Apache-2.0
"""Which elements of which sets an entry is, and which key an element belongs to.

Promises: two entries with the same elements are the same to the kernel; every
element of a static set belongs to exactly one key. Keys are bytes as the kernel
compares them: each part of a concatenation padded to four bytes, interface names
to sixteen. Prefixes of INTERNAL, MEMBER and STRAY are in `nft_prefixes.py`.
"""

from collections.abc import Iterator
from typing import TypeAlias

from buoy.dataplane.nft_wire import Element, Kind
from buoy.model.address import Address, Mac, Prefix, family, host_prefix, is_host, packed, split, unpacked
from buoy.model.errors import Bug, InvalidInput
from buoy.model.group import Side
from buoy.model.nodestate import (
    Dnat,
    Egress,
    Entry,
    GroupMember,
    Key,
    Mapping,
    PortGuard,
    Relay,
    Stray,
    Table,
)
from buoy.render.nft_names import combination_chain, identity, member_set
from buoy.render.nft_skeleton import SETS

Placed: TypeAlias = tuple[str, Element]
GUARD_SETS = (
    "to_guest",
    "from_guest",
    "itself",
    "open",
    "sourcemac",
    "source4",
    "source6",
    "sourcenet4",
    "sourcenet6",
)
_NAMES = {Table.DNAT: "fip", Table.EGRESS: "egress", Table.MAPPING: "mapped", Table.RELAY: "relay"}
_PRESENT: dict[Table, Entry] = {Table.RELAY: Relay(), Table.MEMBER: GroupMember(), Table.STRAY: Stray()}
"""Entries of which the presence says all."""
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "icmpv6": 58, "sctp": 132, "udplite": 136}
_NUMBERS = {number: name for name, number in _PROTOCOLS.items()}
FOREIGN = "foreign"
STATIC = tuple(name for _, name, _ in SETS if name != FOREIGN)


def kind(name: str) -> Kind:
    """Return how a set of ours stores its elements."""
    if name in ("to_guest", "from_guest"):
        return Kind.VERDICT
    if name.startswith("sourcenet"):
        return Kind.CONCAT
    return Kind.INTERVAL if name.startswith(("internal", "straynet", "n4-", "n6-")) else Kind.HASH


def elements(key: Key, entry: Entry) -> frozenset[Placed]:
    """Return set and element of everything an entry is, for the tables that are hash sets and maps."""
    if isinstance(entry, PortGuard):
        return frozenset(_guard(key.name[0], entry))
    name, raw = place(key)
    return frozenset({(name, Element(raw, b"", _data(entry)))})


def place(key: Key) -> tuple[str, bytes]:
    """Return set and key of the one element that an entry is, whatever it says; guards are many elements."""
    if key.table is Table.MEMBER:
        address = split(Prefix(key.name[1]))[0]
        return member_set(key.name[0], family(address), host=True), packed(address)
    if key.table is Table.STRAY:
        address = split(Prefix(key.name[0]))[0]
        return f"stray{family(address)}", packed(address)
    if key.table not in _NAMES:
        raise Bug(f"{key} is no element")
    raw = packed(Address(key.name[0]))
    if key.table is Table.MAPPING:
        raw += _protocol(key.name[1]) + _port(int(key.name[2]))
    elif key.table is Table.RELAY:
        raw += packed(Address(key.name[1]))
    return _NAMES[key.table] + ("6" if ":" in key.name[0] else "4"), raw


def _data(entry: Entry) -> bytes:
    if isinstance(entry, Dnat):
        return packed(entry.target)
    if isinstance(entry, Egress):
        return packed(entry.address)
    return packed(entry.target) + _port(entry.port) if isinstance(entry, Mapping) else b""


def _guard(interface: str, guard: PortGuard) -> Iterator[Placed]:
    name = ifname(interface)
    yield "itself", Element(name + name)
    if guard.combination is None:
        yield "open", Element(name)
    else:
        yield "to_guest", Element(name, b"", combination_chain(Side.INGRESS, guard.combination).encode())
        yield "from_guest", Element(name, b"", combination_chain(Side.EGRESS, guard.combination).encode())
    for mac, prefix in _outermost(guard.sources):
        start = name + bytes.fromhex(mac.replace(":", "")) + b"\0\0"
        yield "sourcemac", Element(start)
        version, (network, length) = family(prefix), split(prefix)
        if is_host(prefix):
            yield f"source{version}", Element(start + packed(network))
        else:
            yield f"sourcenet{version}", Element(start + packed(network), start + _last(packed(network), length))


def _outermost(sources: tuple[tuple[Mac, Prefix], ...]) -> Iterator[tuple[Mac, Prefix]]:
    """Leave out networks inside networks of the same MAC: the kernel refuses overlapping intervals."""
    kept: tuple[Mac, bytes, bytes] | None = None
    nets = ((mac, prefix, packed(split(prefix)[0]), split(prefix)[1]) for mac, prefix in set(sources))
    for mac, prefix, start, length in sorted(nets, key=lambda net: (net[0], len(net[2]), net[2], net[3])):
        last = _last(start, length)
        if is_host(prefix):
            yield mac, prefix
        elif kept is None or kept[0] != mac or len(kept[2]) != len(last) or last > kept[2]:
            kept = (mac, start, last)
            yield mac, prefix


def _last(network: bytes, length: int) -> bytes:
    rest = (1 << (len(network) * 8 - length)) - 1
    return (int.from_bytes(network) | rest).to_bytes(len(network))


def ifname(interface: str) -> bytes:
    """Return an interface name as a key; raise `InvalidInput` for one the kernel could not have."""
    raw = interface.encode()
    if not raw or len(raw) > 15 or b"/" in raw:
        raise InvalidInput("interface", interface, "give a name of 1 to 15 characters without a slash")
    return raw + bytes(16 - len(raw))


def interface_of(raw: bytes) -> str:
    """Return the interface whose name begins a key."""
    return raw[:16].rstrip(b"\0").decode(errors="replace")


def _protocol(name: str) -> bytes:
    number = _PROTOCOLS.get(name) or (int(name) if name.isdigit() else 0)
    if not 0 < number < 256:
        raise InvalidInput("protocol", name, f"give a number or one of {', '.join(_PROTOCOLS)}")
    return bytes([number, 0, 0, 0])


def _port(number: int) -> bytes:
    return number.to_bytes(2) + b"\0\0"


def key_of(name: str, element: Element) -> Key | None:
    """Return the key an element of a hash set or map is part of; None for one no key makes."""
    raw, group = element.key, identity(name)
    if name in GUARD_SETS:
        return Key(Table.GUARD, (interface_of(raw),))
    if group is not None:
        address = unpacked(raw)
        return Key(Table.MEMBER, (group[1], f"{address}/{len(raw) * 8}"))
    size = 16 if name.endswith("6") else 4
    address, rest = unpacked(raw[:size]), raw[size:]
    if name.startswith("fip"):
        return Key(Table.DNAT, (address,))
    if name.startswith("egress"):
        return Key(Table.EGRESS, (address,))
    if name.startswith("relay"):
        return Key(Table.RELAY, (address, unpacked(rest)))
    if name.startswith("stray"):
        return Key(Table.STRAY, (host_prefix(address),))
    if name.startswith("mapped"):
        protocol = _NUMBERS.get(rest[0], str(rest[0]))
        return Key(Table.MAPPING, (address, protocol, str(int.from_bytes(rest[4:6]))))
    return None


def prefix_key(name: str, prefix: Prefix) -> Key:
    """Return the key of a prefix in an interval set."""
    group = identity(name)
    if group is not None:
        return Key(Table.MEMBER, (group[1], prefix))
    return Key(Table.STRAY if name.startswith("stray") else Table.INTERNAL, (prefix,))


def entry_of(key: Key, data: bytes) -> Entry:
    """Return the entry of an element of a hash set or map."""
    if key.table in _PRESENT:
        return _PRESENT[key.table]
    if key.table is Table.DNAT:
        return Dnat(unpacked(data))
    if key.table is Table.EGRESS:
        return Egress(unpacked(data))
    return Mapping(unpacked(data[:-4]), int.from_bytes(data[-4:-2]))


def guard_of(placed: frozenset[Placed]) -> PortGuard:
    """Return the guard whose elements these are, with sorted sources; a broken one equals no wish."""
    by_set: dict[str, list[Element]] = {}
    for name, element in placed:
        by_set.setdefault(name, []).append(element)
    combination = None
    if "open" not in by_set:
        told = identity(by_set["to_guest"][0].data.decode()) if "to_guest" in by_set else None
        combination = told[1] if told else "(none)"
    sources = (source for name in ("source4", "source6") for source in map(_host, by_set.get(name, ())))
    nets = (source for name in ("sourcenet4", "sourcenet6") for source in map(_network, by_set.get(name, ())))
    guard = PortGuard(combination, tuple(sorted({*sources, *nets})))
    interface = interface_of(next(iter(placed))[1].key)
    if frozenset(_guard(interface, guard)) == placed:
        return guard
    return PortGuard("(damaged)", guard.sources)


def _host(element: Element) -> tuple[Mac, Prefix]:
    raw = element.key[24:]
    return Mac(element.key[16:22].hex(":")), Prefix(f"{unpacked(raw)}/{len(raw) * 8}")


def _network(element: Element) -> tuple[Mac, Prefix]:
    start, last = int.from_bytes(element.key[24:]), int.from_bytes(element.end[24:])
    length = (len(element.key) - 24) * 8 - (start ^ last).bit_length()
    return Mac(element.key[16:22].hex(":")), Prefix(f"{unpacked(element.key[24:])}/{length}")
