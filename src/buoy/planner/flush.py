"""Which tracked connections must end with a change of NAT, route or policy.

Promises the fewest that will do: a flow that is ended needlessly may stall, for
the next packet of a flow cut in the middle may come from the wrong side. A rule
that goes is rare, so finding who used it may look at every guard of the node.
"""

from collections.abc import Iterable, Iterator

from buoy.model.address import Address, Prefix, is_host, split
from buoy.model.nodestate import (
    Change,
    Combination,
    Flush,
    GroupMember,
    GroupRules,
    Key,
    NodeState,
    PortGuard,
    Table,
)

_SERVICE = frozenset({Table.DNAT, Table.MAPPING, Table.RELAY, Table.EGRESS})
"""Tables whose key begins with the address whose flows they decide."""


def flush_new(built: Iterable[Change]) -> Flush:
    """Return the flush after building: flows begun before must meet the new NAT or the new interface."""
    return _flush(_moved(built))


def flush_old(changes: Iterable[Change], observed: NodeState, desired: NodeState) -> Flush:
    """Return the flush after sweeping: flows that what was removed had let pass, or had translated."""
    return _flush(_lost(tuple(changes), observed, desired))


def _flush(addresses: Iterable[Address]) -> Flush:
    return Flush(tuple(sorted(set(addresses))))


def _moved(built: Iterable[Change]) -> Iterator[Address]:
    for change in built:
        if change.key.table in _SERVICE:
            yield Address(change.key.name[0])
        elif change.key.table is Table.ROUTE and change.before is not None:
            yield from _hosts(Prefix(change.key.name[0]))


def gone(change: Change) -> Iterator[Address]:
    """Yield the addresses whose flows a removal of forwarding or of a member ends."""
    if change.after is not None:
        return
    table, name = change.key
    if table in _SERVICE:
        yield Address(name[0])
    elif table is Table.ROUTE:
        yield from _hosts(Prefix(name[0]))
    elif table is Table.MEMBER:
        yield from _hosts(Prefix(name[1]))


def _lost(changes: tuple[Change, ...], observed: NodeState, desired: NodeState) -> Iterator[Address]:
    weakened: set[str] = set()
    for change in changes:
        yield from gone(change)
        before, after = change.before, change.after
        if isinstance(before, PortGuard):
            yield from _unguarded(before, after if isinstance(after, PortGuard) else None, (observed, desired))
        elif isinstance(before, GroupRules) and isinstance(after, GroupRules):
            weakened |= {change.key.name[0]} if set(before.rules) - set(after.rules) else set()
        elif isinstance(before, GroupMember) and after is None and not is_host(Prefix(change.key.name[1])):
            weakened |= _referring(desired, change.key.name[0])
    if weakened:
        yield from _users(desired, weakened)


def _unguarded(before: PortGuard, after: PortGuard | None, states: tuple[NodeState, NodeState]) -> Iterator[Address]:
    """Yield the addresses of a guard that let through more before than after."""
    if after is not None and after.combination is None:
        return
    kept = after.sources if after is not None and _groups(before, states) <= _groups(after, states) else ()
    gone = set(before.sources) - set(kept)
    for _, prefix in gone:
        yield from _hosts(prefix)


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


def _referring(desired: NodeState, group: str) -> set[str]:
    return {
        key.name[0]
        for key, entry in desired.items()
        if isinstance(entry, GroupRules) and any(rule.group == group for rule in entry.rules)
    }


def _users(desired: NodeState, groups: set[str]) -> Iterator[Address]:
    for entry in desired.values():
        if isinstance(entry, PortGuard) and groups & _groups(entry, (desired, desired)):
            for _, prefix in entry.sources:
                yield from _hosts(prefix)


def _hosts(prefix: Prefix) -> Iterator[Address]:
    """Yield the address of a host prefix; link-local ones are everybody's and name nobody."""
    if is_host(prefix) and not prefix.startswith("fe80:"):
        yield split(prefix)[0]
