# SPDX-License-Identifier: Apache-2.0
"""What kube-proxy forwards by iptables: its rules read again when they have changed.

Promises that nothing is read unless `turn` is told that it is wanted, then in a tenth
of the time at most, or once a second, and that a reading that fails leaves what was
seen before. Three things are tricky. There are two iptables: of what the newer writes
nf_tables tells, and it can print one chain without the others, which at 5,000 Services
takes a tenth of the time; of the older nobody tells, so it is asked again and again, in
a twentieth of the time. Neither is asked for what is not there, for some would make it.
And kube-proxy changes table filter, then table nat: in between its port has no rule.
"""

import errno
import resource
import select
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from buoy.dataplane import netlink, nft_wire, proxy_rules
from buoy.dataplane.proxy_reading import Reading
from buoy.dataplane.proxy_timer import Timer
from buoy.model.address import Address
from buoy.model.errors import DataplaneError
from buoy.model.proxied import Proxying

_SHORTEST, _LONGEST, _SELDOM = 0.1, 1.0, 5.0
"""Seconds between two readings, at least and at most; after one that failed, and between looks for iptables."""
_REST, _LONG_REST = 10, 20
"""How many times the processor's time that a reading took to wait for the next; for one that nobody asked for."""
_HALF = 0.25
"""Seconds after a change to table filter in which one to table nat is expected."""
_FAMILIES = {socket.AF_INET.value: "ip", socket.AF_INET6.value: "ip6"}
_GETCHAIN = 0xA04
_CHAINS = (
    # in this order, for kube-proxy refuses a port before it forwards it
    ("nat", proxy_rules.SERVICES),
    ("filter", proxy_rules.EXTERNAL),
    ("filter", proxy_rules.SERVICES),
)


def _name(kind: int, text: str) -> bytes:
    return netlink.attribute(kind, text.encode() + b"\0")


_RULES = tuple(_name(1, table) + _name(2, chain) for table, chain in _CHAINS)
_NAMES = tuple(_name(1, table) + _name(3, chain) for table, chain in _CHAINS)
_FILTER = _name(1, "filter")
_BEGINNINGS = {
    nft_wire.NEWRULE: _RULES,
    nft_wire.DELRULE: _RULES,
    nft_wire.NEWCHAIN: _NAMES,
    nft_wire.DELCHAIN: _NAMES,
}
"""How notifications begin that tell of a change to these chains; when their table goes, they are told of first."""


class ProxyRules:
    """The mirror; `changed` collects the addresses that it sees treated otherwise, for who asks to empty it."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._poll = select.epoll()
        self._timer = Timer()
        self._poll.register(self._timer, select.EPOLLIN)
        self._reading: Reading | None = None
        self._versions: list[int] = []
        self._content: dict[Address, Proxying] = {}
        self._dirty, self._older = True, False
        self._spent = self._next = self._look = self._half_until = 0.0
        self.families: frozenset[int] = frozenset()
        """The IP versions for which kube-proxy was seen to work by iptables."""
        self.changed: set[Address] = set()
        self.trouble = ""
        """Why the last reading failed, empty if it did not."""

    @property
    def reading(self) -> bool:
        """Whether a reading is under way."""
        return self._reading is not None

    def content(self) -> Mapping[Address, Proxying]:
        """Return what is done with each address."""
        return MappingProxyType(self._content)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a turn is due."""
        return self._poll.fileno()

    def close(self) -> None:
        """End what runs, and give the descriptors back."""
        self._stop()
        self._timer.close()
        self._poll.close()

    def heard(self, event: netlink.Heard) -> None:
        """Take one notification of nf_tables, of whatever table."""
        if event.payload[0] in _FAMILIES and event.payload.startswith(_BEGINNINGS.get(event.kind, ()), 4):
            self._dirty = True
            self._half_until = time.monotonic() + _HALF if event.payload.startswith(_FILTER, 4) else 0.0

    def doubt(self) -> None:
        """Read again with the next turn that may."""
        self._dirty = True

    def turn(self, *, wanted: bool) -> None:
        """Go on with a reading, or begin one that is due; call again when the descriptor becomes readable."""
        self._timer.clear()
        if not wanted:
            self._stop()
            self._dirty = True
            self._see(proxy_rules.Seen(frozenset(), {}))
            return
        try:
            self._go_on()
        except DataplaneError as error:
            self.trouble = str(error)
            self._stop()
            self._dirty, self._next = True, time.monotonic() + _SELDOM
        due = max(self._next, self._half_until) if self._dirty else self._look
        if self._reading or self._dirty or self._older:
            self._timer.set((self._reading.deadline if self._reading else due) - time.monotonic())

    def _go_on(self) -> None:
        if self._reading is None and self._due():
            self._dirty, self._spent = False, _spent()
            commands = self._commands()
            self._versions = [6 if command[0].startswith("ip6") else 4 for command in commands]
            self._reading = Reading(commands, self._poll)
        texts = self._reading.go_on() if self._reading else None
        if texts is None:
            return
        self._reading, self.trouble = None, ""
        self._see(proxy_rules.parse(zip(self._versions, texts, strict=True)))
        now = time.monotonic()
        took = _spent() - self._spent
        self._next = now + min(max(_SHORTEST, _REST * took), _LONGEST)
        self._look = now + max(_LONGEST if self._older and self.families else _SELDOM, _LONG_REST * took)

    def _due(self) -> bool:
        now = time.monotonic()
        if self._dirty:
            return now >= max(self._next, self._half_until)
        return self._older and now >= self._look

    def _see(self, seen: proxy_rules.Seen) -> None:
        before, self._content = self._content, seen.content
        both = before.keys() | seen.content.keys()
        self.changed |= {address for address in both if before.get(address) != seen.content.get(address)}
        self.families = seen.families

    def _stop(self) -> None:
        if self._reading:
            self._reading.close()
            self._reading = None

    def _commands(self) -> list[tuple[str, ...]]:
        newer: list[tuple[str, ...]] = [
            (f"{name}tables-nft", "-t", table, "-S", chain)
            for family, name in _FAMILIES.items()
            for table, chain in _CHAINS
            if self._has_chain(family, table, chain)
        ]
        self._older = not newer
        return newer or [
            (f"{name}tables-legacy-save", "-t", table)
            for name in _FAMILIES.values()
            for table in ("nat", "filter")
            if table in _older_tables(name)
        ]

    def _has_chain(self, family: int, table: str, chain: str) -> bool:
        body = bytes([family, 0, 0, 0]) + _name(1, table) + _name(3, chain)
        try:
            return bool(self._channel.ask(netlink.message(_GETCHAIN, 0, body)))
        except netlink.Refusal as refusal:
            if refusal.number != errno.ENOENT:
                raise
            return False


def _spent() -> float:
    """Return the seconds that processors have worked for all programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _older_tables(name: str) -> list[str]:
    """Return the tables that the older iptables has made in this thread's network namespace."""
    try:
        return Path(f"/proc/thread-self/net/{name}_tables_names").read_text().split()
    except FileNotFoundError:
        return []
