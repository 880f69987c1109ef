# SPDX-License-Identifier: Apache-2.0
"""Which tracked connections must end with a change of NAT, route or policy.

Promises the fewest that will do: a flow that is ended needlessly may stall, for
the next packet of a flow cut in the middle may come from the wrong side. The
tricky thing is policy: packets of a flow's first direction are judged one by one
(`render/nft_skeleton.py`), so what remains of a flow whose rule, member or group
went is its answers. Without tracking they are judged as well; but of TCP, whose
middle may be taken up by either side, the tracking must stay: unanswered, it ends.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from buoy.model.address import Address, Prefix, is_host, split
from buoy.model.nodestate import (
    Change,
    Combination,
    Egress,
    Flush,
    GroupMember,
    GroupRules,
    Key,
    NodeState,
    PortGuard,
    Route,
    Table,
)


class Uses(Protocol):
    """Who uses a group on a node, so that a change of one looks at nobody else."""

    def guards(self, group: str) -> Collection[Key]:
        """Return the guards of all interfaces that have a group; others among them do no harm."""

    def referring(self, group: str) -> Collection[str]:
        """Return the groups with a rule that names a group."""


class Everybody:
    """Implements `Uses` for a state of which nothing else is known, by looking at all of it."""

    def __init__(self, desired: NodeState) -> None:
        self._desired = desired

    def guards(self, group: str) -> Collection[Key]:
        """See `Uses`."""
        del group
        return [key for key in self._desired if key.table is Table.GUARD]

    def referring(self, group: str) -> Collection[str]:
        """See `Uses`."""
        return {
            key.name[0]
            for key, entry in self._desired.items()
            if isinstance(entry, GroupRules) and any(rule.group == group for rule in entry.rules)
        }


_SERVICE = frozenset({Table.DNAT, Table.MAPPING, Table.RELAY})
"""Tables whose key begins with the address whose flows they decide."""
_TRANSLATION = _SERVICE | {Table.EGRESS}


def flush_new(built: Iterable[Change]) -> Flush:
    """Return the flush after building: flows begun before must meet the new NAT or the new interface."""
    built = tuple(built)
    leaving = {Address(change.key.name[0]) for change in built if change.key.table is Table.EGRESS}
    served = {Address(change.key.name[0]) for change in built if change.key.table in _SERVICE}
    moved = set(_moved(built))
    lent = {change.before.address for change in built if isinstance(change.before, Egress)}
    # what was answered works without the service IP, and would not outlive a change of its source
    return Flush(
        tuple(sorted(served | moved)),
        unanswered=tuple(sorted(leaving)),
        service_ips=tuple(sorted(served - lent)),
    )


def flush_old(changes: Iterable[Change], observed: NodeState, desired: NodeState, uses: Uses) -> Flush:
    """Return the flush after sweeping: flows that what was removed had let pass, or had translated."""
    changes = tuple(changes)
    whole = set(_lost(changes, desired))
    weakened = set(_weakened(changes, observed, desired, uses)) - whole
    translated = {address for change in changes if change.key.table in _TRANSLATION for address in gone(change)}
    guests = set(_lost([change for change in changes if change.key.table is Table.GUARD], desired))
    return Flush(tuple(sorted(whole)), tuple(sorted(weakened)), service_ips=tuple(sorted(translated - guests)))


def _moved(built: Iterable[Change]) -> Iterator[Address]:
    """Yield the addresses that left with another service IP, or were behind another interface."""
    for change in built:
        if isinstance(change.before, Egress):
            yield change.before.address
        elif isinstance(change.before, Route) and change.before.interface != getattr(change.after, "interface", ""):
            yield from _hosts(Prefix(change.key.name[0]))


def gone(change: Change) -> Iterator[Address]:
    """Yield the addresses whose flows a removal of forwarding ends."""
    if change.after is not None:
        return
    table, name = change.key
    if table in _SERVICE:
        yield Address(name[0])
    elif isinstance(change.before, Egress):
        yield change.before.address
    elif table is Table.ROUTE:
        yield from _hosts(Prefix(name[0]))


def _lost(changes: Iterable[Change], desired: NodeState) -> Iterator[Address]:
    for change in changes:
        yield from gone(change)
        before, after = change.before, change.after
        if isinstance(before, PortGuard):
            yield from _unguarded(before, after if isinstance(after, PortGuard) else None, desired)


def _unguarded(before: PortGuard, after: PortGuard | None, desired: NodeState) -> Iterator[Address]:
    """Yield the addresses that a guard had let its guest send from and does not any more."""
    kept: Iterable[object] = ()
    if after is not None and not _is_closed(after, desired):
        kept = before.sources if after.combination is None else after.sources
    for _, prefix in set(before.sources) - set(kept):
        yield from _hosts(prefix)


def _is_closed(guard: PortGuard, desired: NodeState) -> bool:
    """Tell whether a guard lets no flow begin on either side, so that what is cut stays cut."""
    combination = desired.get(Key(Table.COMBINATION, (guard.combination or "",)))
    return isinstance(combination, Combination) and not combination.groups


def _weakened(changes: Iterable[Change], observed: NodeState, desired: NodeState, uses: Uses) -> Iterator[Address]:
    """Yield the addresses of guests that may do less than before, and of members that left."""
    groups: set[str] = set()
    for change in changes:
        before, after = change.before, change.after
        if isinstance(before, PortGuard) and isinstance(after, PortGuard):
            if not _groups(before, (observed, desired)) <= _groups(after, (observed, desired)):
                yield from _addresses(after)
        elif isinstance(before, GroupRules) and isinstance(after, GroupRules):
            groups |= {change.key.name[0]} if set(before.rules) - set(after.rules) else set()
        elif isinstance(before, GroupMember) and after is None:
            group, prefix = change.key.name
            yield from _hosts(Prefix(prefix))
            groups |= set() if is_host(Prefix(prefix)) else set(uses.referring(group))
    for key in {key for group in groups for key in uses.guards(group)}:
        guard = desired.get(key)
        if isinstance(guard, PortGuard) and groups & _groups(guard, (desired, desired)):
            yield from _addresses(guard)


def _groups(guard: PortGuard, states: tuple[NodeState, NodeState]) -> frozenset[str]:
    """Return what a guard allows as a set: more elements allow more; port security off is a group of its own."""
    if guard.combination is None:
        return frozenset({""})
    key = Key(Table.COMBINATION, (guard.combination,))
    for state in states:
        entry = state.get(key)
        if isinstance(entry, Combination):
            return frozenset(entry.groups)
    return frozenset({guard.combination})


def _addresses(guard: PortGuard) -> Iterator[Address]:
    for _, prefix in guard.sources:
        yield from _hosts(prefix)


def _hosts(prefix: Prefix) -> Iterator[Address]:
    """Yield the address of a host prefix; link-local ones are everybody's and name nobody."""
    if is_host(prefix) and not prefix.startswith("fe80:"):
        yield split(prefix)[0]
