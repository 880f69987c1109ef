# SPDX-License-Identifier: Apache-2.0
"""nfnetlink by hand: elements of sets and maps to bytes and back, and what a table holds.

Promises: an `Element` read from the kernel, written again, is that element. The
tricky thing: an interval set without concatenation stores an interval as two
elements, its start and, flagged, what follows its end; a concatenated one stores
one element with a second key. Text and libnftables cost 10 to 20 ms where
this costs 0.012. Source: linux/netfilter/nf_tables.h.
"""

import enum
import functools
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from buoy.dataplane import netlink
from buoy.model.ownership import NFT_TABLE

GROUP = 7
NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, DELCHAIN = 0xA00, 0xA02, 0xA03, 0xA04, 0xA05
NEWRULE, GETRULE, DELRULE = 0xA06, 0xA07, 0xA08
NEWSET, GETSET, DELSET = 0xA09, 0xA0A, 0xA0B
NEWELEMENT, GETELEMENT, DELELEMENT, NEWGEN = 0xA0C, 0xA0D, 0xA0E, 0xA0F
_BEGIN, _END = 0x10, 0x11
_INET, _ARP = b"\x01\x00\x00\x00", b"\x03\x00\x00\x00"
_TABLE = netlink.attribute(1, NFT_TABLE.encode() + b"\0")
_BATCH = b"\x00\x00\x00\x0a"
_ATTRIBUTE = struct.Struct("=HH")
_INTERVAL_END = netlink.attribute(3, b"\0\0\0\x01")
_JUMP = netlink.attribute(1, struct.pack("!i", -3))


class Kind(enum.Enum):
    """How a set stores an element."""

    HASH = 1
    VERDICT = 2
    INTERVAL = 3
    CONCAT = 4


class Element(NamedTuple):
    """One element: `end` is what follows an interval, or a concatenated interval's last key; empty for none.

    `data` is a map's value, or for a verdict map the name of the chain.
    """

    key: bytes
    end: bytes = b""
    data: bytes = b""


def batch(messages: Iterable[bytes]) -> list[bytes]:
    """Return messages framed as one transaction."""
    return [netlink.message(_BEGIN, 0, _BATCH), *messages, netlink.message(_END, 0, _BATCH)]


def element_message(verb: int, name: str, kind: Kind, element: Element) -> bytes:
    """Return the addition or removal of one element; `verb` is NEWELEMENT or DELELEMENT."""
    # a removal that carries data would be refused if the data has changed
    data = element.data if verb == NEWELEMENT else b""
    if kind is Kind.HASH and not (len(element.key) | len(data)) & 3:
        before, between = _frame(verb, name, len(element.key), len(data))
        return before + element.key + between + data
    return _message(verb, name, kind, Element(element.key, element.end, data))


@functools.lru_cache(4096)
def _frame(verb: int, name: str, key: int, data: int) -> tuple[bytes, bytes]:
    """Return what thousands of elements have in common: all but key and data, of such lengths, without padding."""
    whole = _message(verb, name, Kind.HASH, Element(bytes(key), b"", bytes(data)))
    before = len(_message(verb, name, Kind.HASH, Element(bytes(key)))) - key
    return whole[:before], whole[before + key : len(whole) - data]


def _message(verb: int, name: str, kind: Kind, element: Element) -> bytes:
    flags = netlink.CREATE if verb == NEWELEMENT else 0
    data = _data(kind, element.data) if element.data else b""
    parts = netlink.nested(1, _key(1, element.key) + (_key(10, element.end) if kind is Kind.CONCAT else b"") + data)
    if kind is Kind.INTERVAL and element.end:
        parts += netlink.nested(1, _key(1, element.end) + _INTERVAL_END)
    return netlink.message(verb, flags, _set_of(name) + netlink.nested(3, parts))


@functools.lru_cache(4096)
def _set_of(name: str) -> bytes:
    """Return what all elements of a set begin with."""
    return _INET + _TABLE + _name(2, name)


def _name(kind: int, text: str) -> bytes:
    return netlink.attribute(kind, text.encode() + b"\0")


def _key(kind: int, raw: bytes) -> bytes:
    return netlink.nested(kind, netlink.attribute(1, raw))


def _data(kind: Kind, data: bytes) -> bytes:
    if kind is Kind.VERDICT:
        return netlink.nested(2, netlink.nested(2, _JUMP, netlink.attribute(2, data + b"\0")))
    return _key(2, data)


def element_dump(name: str) -> bytes:
    """Return a dump of one set."""
    return netlink.message(GETELEMENT, netlink.DUMP, _INET + _TABLE + _name(2, name))


def parse_elements(kind: Kind, payloads: Iterable[bytes]) -> dict[tuple[bytes, bytes], bytes]:
    """Return data by key and end of every element in the answer to a dump."""
    found = [_parse_element(raw) for payload in payloads for raw in _elements(payload)]
    if kind is not Kind.INTERVAL:
        return {(element.key, element.end): element.data for element, _ in found}
    intervals: dict[tuple[bytes, bytes], bytes] = {}
    start: bytes | None = None
    for element, ends in sorted(found, key=lambda pair: (pair[0].key, not pair[1])):
        if start is not None:
            intervals[(start, element.key)] = b""
        start = None if ends else element.key
    if start is not None:
        intervals[(start, b"")] = b""
    return intervals


def _elements(payload: bytes) -> Iterator[bytes]:
    for _, raw in netlink.each_attribute(netlink.attributes(payload, 4).get(3, b"")):
        yield raw


def _parse_element(raw: bytes) -> tuple[Element, bool]:
    length, kind = _ATTRIBUTE.unpack_from(raw)
    if kind & netlink.ATTRIBUTE_MASK == 1 and length + 3 >= len(raw):
        # nothing but a key: most elements of a node are these
        return Element(raw[8:length]), False
    found = netlink.attributes(raw)
    end = found[10][4:] if 10 in found else b""
    data = b""
    if 2 in found:
        inner = netlink.attributes(found[2])
        data = inner[1] if 1 in inner else netlink.attributes(inner[2]).get(2, b"").rstrip(b"\0")
    return Element(found[1][4:], end, data), bool(found.get(3, b"\0")[-1] & 1)


def set_dump() -> bytes:
    """Return a dump of the names of our sets."""
    return netlink.message(GETSET, netlink.DUMP, _INET + _TABLE)


def rule_dump(chain: str = "") -> bytes:
    """Return a dump of the rules of our table, or of one of its chains."""
    return netlink.message(GETRULE, netlink.DUMP, _INET + _TABLE + (_name(2, chain) if chain else b""))


def arp_rule_dump() -> bytes:
    """Return a dump of the rules of our table of ARP."""
    return netlink.message(GETRULE, netlink.DUMP, _ARP + _TABLE)


def chain_dumps() -> tuple[bytes, bytes]:
    """Return a dump of the chains of each family that a table of ours is of; others' tables are told, too."""
    return netlink.message(GETCHAIN, netlink.DUMP, _INET), netlink.message(GETCHAIN, netlink.DUMP, _ARP)


def parse_chain(payload: bytes) -> tuple[str, str, tuple[bytes, ...]]:
    """Return table and name of a chain, and what its text says: hook and priority, policy, type; empty for none."""
    found = netlink.attributes(payload, 4)
    table, name = (text(found.get(each, b"")) for each in (1, 3))
    return table, name, tuple(found.get(each, b"") for each in (4, 5, 7))


class RuleSeen(NamedTuple):
    """A rule: its chain, its comment, and its bytes, by which a change of a static rule is noticed."""

    chain: str
    comment: str
    body: bytes


def parse_rule(payload: bytes) -> RuleSeen:
    """Return a rule of a dump or a notification."""
    found = netlink.attributes(payload, 4)
    comment = ""
    user = found.get(7, b"")
    if len(user) > 2 and user[0] == 0:
        comment = user[2 : 2 + user[1]].rstrip(b"\0").decode(errors="replace")
    return RuleSeen(text(found.get(2, b"")), comment, found.get(4, b""))


def text(raw: bytes) -> str:
    """Return a NUL-terminated name."""
    return raw.rstrip(b"\0").decode(errors="replace")
