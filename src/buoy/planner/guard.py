# SPDX-License-Identifier: Apache-2.0
"""Nothing is removed because a store forgot: provenance, not proportion.

Promises that while the store is doubted (`belief.py`) additions and changes go on,
and removals of what is doubtful wait for a person.

The tricky thing is policy. Its removals are not held, or a weakened rule would stay
open; but a guard whose interface still serves a held address stays, with what its
chains jump to, else the promise would be broken by the guard itself. The promise also
is why what others forward is held only as long as they do (`freed`): a service proxy
has no such doubts, and takes the same loss for said.
"""

from collections.abc import Collection, Iterator

import msgspec

from buoy.model.address import Address, Prefix, host_prefix, is_host, split
from buoy.model.nodestate import Change, Combination, Egress, Flush, Key, Phase, PortGuard, Step, Table
from buoy.model.proxied import Proxying, ProxyMode
from buoy.planner.flush import gone
from buoy.planner.plan import Plan, handles
from buoy.planner.sight import Sight

_POLICY = frozenset({Table.GROUP, Table.MEMBER, Table.COMBINATION, Table.GUARD})


class Guarded(msgspec.Struct, frozen=True):
    """The plan that may be done, and the steps that wait."""

    plan: Plan
    held: tuple[Step, ...] = ()

    @property
    def serving(self) -> frozenset[Key]:
        """What is held for its own sake; policy is held only with it."""
        keys = (step.act.key for step in self.held if isinstance(step.act, Change))
        return frozenset(key for key in keys if key.table not in _POLICY)


def guard(plan: Plan, doubtful: Collection[Key] | None = None) -> Guarded:
    """Hold the removals of these keys and of the policy that they need; None: of all keys."""
    held = _held(plan, doubtful)
    if not held:
        return Guarded(plan)
    waiting = {id(step) for step in held}
    done = [step for step in plan.steps if id(step) not in waiting]
    return Guarded(Plan(tuple(_without_flush(done, held))), held)


def freed(guarded: Guarded, plan: Plan, sight: Sight) -> Guarded:
    """Hold no announcement for Services of what a node's service proxy forwards no more; `plan` is what was judged."""
    held = {step.act.key: step.act for step in guarded.held if isinstance(step.act, Change)}
    ours = {host_prefix(address) for change in held.values() for address in _translates(change)}
    doubtful = (key for key in held if key.table is Table.STRAY and key.name[0] not in ours)
    strays = {key for key in doubtful if not _forwards(Prefix(key.name[0]), sight)}
    free = strays | {Key(Table.ANNOUNCEMENT, key.name) for key in strays}
    left = tuple(step for step in guarded.held if isinstance(step.act, Change) and step.act.key not in free)
    if len(left) == len(guarded.held):
        return guarded
    waiting = {id(step) for step in left}
    done = [step for step in plan.steps if id(step) not in waiting]
    return Guarded(Plan(tuple(_without_flush(done, left))), left)


def _forwards(prefix: Prefix, sight: Sight) -> bool:
    """Tell whether anything of an address, or of a whole prefix, is still forwarded."""
    if not sight.proxies(prefix):
        return False
    if sight.proxy is ProxyMode.UNCHECKED or not is_host(prefix):
        return True
    return bool(sight.proxying.get(split(prefix)[0], Proxying()).forwarded)


def _translates(change: Change) -> Iterator[Address]:
    """Yield the service IP that the node itself translates by an entry; what it forwards nobody else does."""
    if change.key.table in {Table.DNAT, Table.MAPPING}:
        yield Address(change.key.name[0])
    elif isinstance(change.before, Egress):
        yield change.before.address


def _held(plan: Plan, doubtful: Collection[Key] | None) -> tuple[Step, ...]:
    again = {change.key for change in plan.changes if change.after is not None}
    removals = {change.key: change for change in plan.changes if change.after is None and change.key not in again}
    held = {key for key in removals if key.table not in _POLICY and (doubtful is None or key in doubtful)}
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
