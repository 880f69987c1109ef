"""Which tracked connections must end with a change of NAT, route or policy.

Promises the fewest that will do: a flow that is ended needlessly may stall, for
the next packet of a flow cut in the middle may come from the wrong side. The
tricky thing is what is absent: a rule, a member or a group that goes ends
nothing here, for packets are judged one by one (`render/nft_skeleton.py`), and
tracking that is deleted would let the guest take the flow up as one of its own.
"""

from collections.abc import Iterable, Iterator

from buoy.model.address import Address, Prefix, is_host, split
from buoy.model.nodestate import Change, Combination, Flush, Key, NodeState, PortGuard, Table

_SERVICE = frozenset({Table.DNAT, Table.MAPPING, Table.RELAY, Table.EGRESS})
"""Tables whose key begins with the address whose flows they decide."""


def flush_new(built: Iterable[Change]) -> Flush:
    """Return the flush after building: flows begun before must meet the new NAT or the new interface."""
    return _flush(_moved(built))


def flush_old(changes: Iterable[Change], desired: NodeState) -> Flush:
    """Return the flush after sweeping: flows that what was removed had translated or led to its guest."""
    return _flush(_lost(changes, desired))


def _flush(addresses: Iterable[Address]) -> Flush:
    return Flush(tuple(sorted(set(addresses))))


def _moved(built: Iterable[Change]) -> Iterator[Address]:
    for change in built:
        if change.key.table in _SERVICE:
            yield Address(change.key.name[0])
        elif change.key.table is Table.ROUTE and change.before is not None:
            yield from _hosts(Prefix(change.key.name[0]))


def gone(change: Change) -> Iterator[Address]:
    """Yield the addresses whose flows a removal of forwarding ends."""
    if change.after is not None:
        return
    table, name = change.key
    if table in _SERVICE:
        yield Address(name[0])
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


def _hosts(prefix: Prefix) -> Iterator[Address]:
    """Yield the address of a host prefix; link-local ones are everybody's and name nobody."""
    if is_host(prefix) and not prefix.startswith("fe80:"):
        yield split(prefix)[0]
