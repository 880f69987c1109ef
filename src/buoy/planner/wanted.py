# SPDX-License-Identifier: Apache-2.0
"""Which entries must be seen before an address or a workload may be called served.

Promises that an address needs what brings packets to its guest and the policy that
guards them, and nothing of its neighbours': a failure elsewhere is not its failure.
Members of groups are left out, for a group may have ten thousand; the guard, its
combination and the groups' own chains are in.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

import msgspec

from buoy.model.address import Address, Prefix, host_prefix, is_host, split
from buoy.model.nodestate import Announcement, Dnat, Key, Mapping, NodeState, Route, Table
from buoy.model.reason import Withhold
from buoy.planner.contest import Subject
from buoy.planner.index import Wish


class Book(Protocol):
    """Where wishes and seats are looked up."""

    def wish(self, subject: Subject) -> Wish:
        """Return what a subject wants."""

    def holder(self, seat: str) -> Subject | None:
        """Return who holds an address."""


class Wanted(msgspec.Struct, frozen=True):
    """What one address or workload (`name`) needs on a node, or why it is withheld there.

    `known` is false if no document speaks of it; `revision` is what its status answers.
    """

    node: str
    name: str
    keys: frozenset[Key]
    withheld: Withhold | None
    revision: int
    known: bool = True


def address_keys(book: Book, address: Address) -> frozenset[Key]:
    """Return the entries an address needs, its announcement among them; empty if it is not placed."""
    service = book.wish(f"service-ips/{address}")
    keys = set(service.entries)
    for target in _targets(service):
        keys |= {key for key in _local(book, target) if key.table is not Table.ANNOUNCEMENT}
    holder = book.holder(address) or ""
    if holder.startswith("workloads/"):
        local = _local(book, address)
        keys |= local if announcement(address) in local else set()
    return frozenset(keys)


def workload_keys(book: Book, subject: Subject) -> frozenset[Key]:
    """Return the entries a workload needs; whether its addresses are announced is their own affair."""
    wish = book.wish(subject)
    own = {key for key in wish.entries if key.table is not Table.ANNOUNCEMENT}
    return frozenset(own | _policy(book, wish))


def beneath(state: NodeState, keys: Iterable[Key]) -> frozenset[Key]:
    """Return the settings of the interfaces these entries lead to: what the host refuses of them may lie there."""
    keys = frozenset(keys)
    entries = [state.get(key) for key in keys]
    interfaces = {entry.interface for entry in entries if isinstance(entry, Route | Announcement) and entry.interface}
    interfaces |= {key.name[0] for key in keys if key.table is Table.NEIGHBOUR}
    return frozenset(key for name in interfaces if (key := Key(Table.LINK, (name,))) in state)


def announcement(address: Address) -> Key:
    """Return the key of an address's announcement."""
    return Key(Table.ANNOUNCEMENT, (host_prefix(address),))


def baseless(book: Book, announced: Collection[Key], wrong: Collection[Key]) -> frozenset[Key]:
    """Return which of these announcements lack something they need among the keys that are wrong."""
    wrong = frozenset(key for key in wrong if key.table is not Table.ANNOUNCEMENT)
    if not wrong:
        return wrong
    return frozenset(key for key in announced if not wrong.isdisjoint(_base(book, key)))


def _base(book: Book, announced: Key) -> Collection[Key]:
    """Return what an announcement stands on: for an aggregate what ends its packets, for an address all it needs."""
    prefix = Prefix(announced.name[0])
    ends = {Key(Table.DISCARD, announced.name), Key(Table.STRAY, announced.name)}
    return {*ends, *address_keys(book, split(prefix)[0])} if is_host(prefix) else ends


def _targets(service: Wish) -> Iterator[Address]:
    for key, bid in service.entries.items():
        if isinstance(bid.value, Dnat | Mapping):
            yield bid.value.target
        elif key.table is Table.EGRESS:
            yield Address(key.name[0])


def _local(book: Book, address: Address) -> set[Key]:
    """Return what brings packets to an address that a workload here holds, under its policy."""
    wish = book.wish(book.holder(address) or "")
    return {*wish.about.get(address, ()), *wish.about.get("", ()), *_policy(book, wish)}


def _policy(book: Book, wish: Wish) -> set[Key]:
    keys: set[Key] = set()
    for combination in wish.needs:
        chain = book.wish(combination)
        keys |= chain.entries.keys()
        for group in chain.needs:
            keys |= book.wish(group).entries.keys()
    return keys
