# SPDX-License-Identifier: Apache-2.0
"""Rules of the routing policy, as the kernel tells them: which packets they are about, and what they do with them.

Promises: `text` is what `ip rule del` takes to remove exactly this rule. The tricky thing: a selector that
we do not know may match anything, so a rule that has one is about nobody knows what.
Sources: linux/fib_rules.h, ip-rule(8).
"""

import enum
import socket
import struct
from typing import NamedTuple

from buoy.dataplane import netlink
from buoy.model.address import Prefix, unpacked
from buoy.model.ownership import MAIN_TABLE

LOOKUP = 1
_GOTO = 2
REFUSALS = {6: "blackhole", 7: "unreachable", 8: "prohibit"}
_LOCAL_TABLE = 255
_INVERTED = 0x2
_HEADER = struct.Struct("=BBBBBBBBI")
_U32 = struct.Struct("=I")
_DST, _IIF, _PRIORITY, _MARK, _TUNNEL, _SUPPRESSED, _TABLE, _OIF, _L3MDEV = 1, 3, 6, 10, 12, 14, 15, 17, 19
_PROTOCOL_AND_PORTS = {22, 23, 24}
_NO_SELECTOR = {_DST, 4, _PRIORITY, 11, 13, _SUPPRESSED, _TABLE, 18, 21}
"""Besides the destination: goto, realm, suppressed interface group, padding and who made the rule."""
_NEVER_OURS = {_IIF, _MARK, _TUNNEL, _OIF, _L3MDEV} | _PROTOCOL_AND_PORTS
"""What a question for the route to an address has none of, if only it is asked so."""


class Asks(enum.Enum):
    """What a rule looks at."""

    DESTINATION = enum.auto()
    """Only at where a packet goes."""
    MORE = enum.auto()
    """At more, and a question that names an address alone never meets it."""
    PERHAPS_US = enum.auto()
    """At more, but such a question may meet it: one about users, one that is inverted."""


class RuleSeen(NamedTuple):
    """A rule; `suppressed` is the length up to which prefixes of its table do not count, -1 for none."""

    priority: int
    to: Prefix
    action: int
    table: int
    suppressed: int
    asks: Asks

    def looks_in(self, table: int) -> bool:
        """Tell whether what it is about is looked up in a table; a refusal may name one, too, and does not."""
        return (self.action, self.table) == (LOOKUP, table)

    @property
    def is_main(self) -> bool:
        """Whether every packet is looked up in table main here, and finds host routes there."""
        return self._is_lookup(MAIN_TABLE) and self.suppressed < (128 if ":" in self.to else 32)

    @property
    def is_local(self) -> bool:
        """Whether it is the one for the host's own addresses, which every host has."""
        return self._is_lookup(_LOCAL_TABLE)

    @property
    def text(self) -> str:
        """How `ip rule` names it."""
        to = "" if self.to.endswith("/0") else f" to {self.to}"
        suppressed = f" suppress_prefixlength {self.suppressed}" if self.suppressed >= 0 else ""
        return f"prio {self.priority}{to} {REFUSALS.get(self.action) or f'lookup {self.table}'}{suppressed}"

    def _is_lookup(self, table: int) -> bool:
        return self.looks_in(table) and self.asks is Asks.DESTINATION and self.to.endswith("/0")


def parse_rule(payload: bytes) -> RuleSeen:
    """Return a rule of IPv4 or IPv6."""
    family, length, from_length, tos, short, _, _, action, flags = _HEADER.unpack_from(payload)
    found = netlink.attributes(payload, 12)
    raw = found.get(_DST) or bytes(4 if family == socket.AF_INET else 16)
    priority, table = (_U32.unpack(found.get(kind, bytes(4)))[0] for kind in (_PRIORITY, _TABLE))
    suppressed = struct.unpack("=i", found.get(_SUPPRESSED, b"\xff" * 4))[0]
    asks = _asks(found, from_source=bool(from_length or tos), odd=bool(flags & _INVERTED) or action == _GOTO)
    return RuleSeen(priority, Prefix(f"{unpacked(raw)}/{length}"), action, table or short, suppressed, asks)


def _asks(found: dict[int, bytes], *, from_source: bool, odd: bool) -> Asks:
    selectors = found.keys() - _NO_SELECTOR
    if odd or found.get(_IIF, b"").rstrip(b"\0") == b"lo":
        return Asks.PERHAPS_US
    if from_source or selectors & _NEVER_OURS:
        return Asks.MORE
    return Asks.PERHAPS_US if selectors else Asks.DESTINATION
