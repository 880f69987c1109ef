"""Nothing is removed because a store forgot: provenance, not proportion.

Promises that when another store speaks, or one set back to a backup, additions and
changes go on, and removals wait for a person. What was *said* is not forgotten: keys
that documents written or deleted after the listing touched are `released`, for
somebody living spoke of them.

The tricky thing is policy. Its removals are not held, or a weakened rule would stay
open; but a guard whose interface still serves a held address stays, with what its
chains jump to, else the promise would be broken by the guard itself.
"""

from collections.abc import Collection, Iterator

import msgspec

from buoy.model.nodestate import Change, Combination, Flush, Key, Phase, PortGuard, Step, Table
from buoy.model.snapshot import Identity
from buoy.planner.flush import gone
from buoy.planner.plan import Plan, handles

_POLICY = frozenset({Table.GROUP, Table.MEMBER, Table.COMBINATION, Table.GUARD})


class Guarded(msgspec.Struct, frozen=True):
    """The plan that may be done, the steps that wait, and the doubt that made them wait.

    The doubt is over when a person says so, or when a plan for all keys had nothing to hold.
    """

    plan: Plan
    held: tuple[Step, ...] = ()
    cause: str = ""


def guard(
    plan: Plan, seen: Identity, kept: Identity | None, released: Collection[Key] = (), doubt: str = ""
) -> Guarded:
    """Hold removals if `seen` is not the store of `kept`, or an older state of it.

    `doubt` is the cause of an earlier guard that nobody has released yet: the store's
    revision grows past the kept one in time, which proves nothing.
    """
    cause = doubt or _cause(seen, kept)
    if not cause:
        return Guarded(plan)
    held = _held(plan, frozenset(released))
    waiting = {id(step) for step in held}
    done = [step for step in plan.steps if id(step) not in waiting]
    return Guarded(Plan(tuple(_without_flush(done, held))), held, cause)


def _cause(seen: Identity, kept: Identity | None) -> str:
    if kept is None or (seen.store == kept.store and seen.revision >= kept.revision):
        return ""
    if seen.store != kept.store:
        return f"store {seen.store} speaks, {kept.store} was believed last"
    return f"store {seen.store} went back from revision {kept.revision} to {seen.revision}"


def _held(plan: Plan, released: frozenset[Key]) -> tuple[Step, ...]:
    again = {change.key for change in plan.changes if change.after is not None}
    removals = {change.key: change for change in plan.changes if change.after is None and change.key not in again}
    held = {key for key in removals if key.table not in _POLICY and key not in released}
    serving = {handle for key in held for handle in handles(removals[key])}
    guards = {key for key in removals if key.table is Table.GUARD and key.name[0] in serving}
    chains = {key for guard_key in guards for key in _chains(removals[guard_key])} & removals.keys()
    groups = {key for chain in chains for key in _groups(removals[chain])} & removals.keys()
    kept = held | guards | chains | groups
    return tuple(
        step for step in plan.steps if isinstance(step.act, Change) and step.act.after is None and step.act.key in kept
    )


def _chains(change: Change) -> Iterator[Key]:
    if isinstance(change.before, PortGuard) and change.before.combination is not None:
        yield Key(Table.COMBINATION, (change.before.combination,))


def _groups(change: Change) -> Iterator[Key]:
    groups = change.before.groups if isinstance(change.before, Combination) else ()
    return (Key(Table.GROUP, (group,)) for group in groups)


def _without_flush(steps: Collection[Step], held: Collection[Step]) -> Iterator[Step]:
    """Yield steps, leaving the connections that held removals would have ended alone."""
    ended = {address for step in steps if isinstance(step.act, Change) for address in gone(step.act)}
    spared = {address for step in held if isinstance(step.act, Change) for address in gone(step.act)} - ended
    for step in steps:
        if step.phase is not Phase.FLUSH_OLD or not isinstance(step.act, Flush):
            yield step
            continue
        left = tuple(address for address in step.act.addresses if address not in spared)
        if left or step.act.connectionless:
            yield Step(step.phase, Flush(left, step.act.connectionless))
