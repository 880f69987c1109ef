# SPDX-License-Identifier: Apache-2.0
"""Observed and desired state make a plan: the only ordering in Buoy.

Promises that at every prefix of a plan each announced prefix has its forwarding
and policy in place, so a kill between any two steps harms nobody, and that a new
plan from there arrives at the same end (`tests/properties/test_promise.py`).

The tricky thing: an announcement dies with its interface, so one that changes
interface is withdrawn and announced again; one that only changes class is a single
step, for which the driver adds the new metric before it deletes the old.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from buoy.model.address import Prefix, is_host, split
from buoy.model.nodestate import Announcement, Change, Entry, Failure, Flush, Key, NodeState, Phase, Step, Table
from buoy.planner.flush import Everybody, Uses, flush_new, flush_old
from buoy.planner.verify import differing

_SHARED = frozenset({Table.GROUP, Table.MEMBER, Table.COMBINATION})

_ABOUT = ("interface", "address")
"""Fields of entries that name what else an act is about."""


class Plan(msgspec.Struct, frozen=True):
    """Steps in the order in which they are to be done; falsy when there is nothing to do."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all phases, without the flushes."""
        return tuple(step.act for step in self.steps if isinstance(step.act, Change))


def make_plan(
    observed: NodeState, desired: NodeState, keys: Collection[Key] | None = None, uses: Uses | None = None
) -> Plan:
    """Return the steps that make `observed` equal to `desired` under `keys` (None: all keys of both).

    `desired` is always the whole state: which flows end with a rule depends on who uses it, which `uses` knows;
    without it, all of `desired` is looked at.
    """
    changes = [Change(key, observed.get(key), desired.get(key)) for key in differing(desired, observed, keys)]
    others = [change for change in changes if change.key.table is not Table.ANNOUNCEMENT]
    built = [change for change in others if change.after is not None]
    swept = [change for change in reversed(others) if change.after is None]
    withdrawn, announced = _announcements(change for change in changes if change.key.table is Table.ANNOUNCEMENT)
    return Plan(
        (
            *_steps(Phase.WITHDRAW, withdrawn),
            *_steps(Phase.BUILD, built),
            *_flush(Phase.FLUSH_NEW, flush_new(built)),
            *_steps(Phase.ANNOUNCE, announced),
            *_steps(Phase.SWEEP, swept),
            *_flush(Phase.FLUSH_OLD, flush_old(others, observed, desired, uses or Everybody(desired))),
        )
    )


def endangered(step: Step, failures: Iterable[Failure]) -> bool:
    """Tell whether doing a step after these failures could break the promise.

    That is leading packets to, or announcing, what could not be built; and changing or sweeping
    what could not be withdrawn, or still stands in the place of what could not be changed.
    """
    return any(
        isinstance(step.act, Change)
        and isinstance(failure.step.act, Change)
        and _waits(step.phase, step.act, failure.step.phase, failure.step.act)
        for failure in failures
    )


def _waits(phase: Phase, act: Change, failed_in: Phase, failed: Change) -> bool:
    about, target = handles(act) & handles(failed), getattr(act.after, "target", None)
    if phase is Phase.BUILD:
        if act.key.table <= Table.GUARD:
            # Chains jump to chains; tightening a group waits for nobody.
            return failed.key.table in _SHARED and failed.key.table < act.key.table
        return bool(failed.key.table in _SHARED or about or target in handles(failed))
    shared = {act.key.table, failed.key.table} & _SHARED
    if phase is Phase.ANNOUNCE:
        return failed_in is Phase.BUILD and bool(shared or about)
    # What could not be built in its place, or led away from it, leaves the old in use.
    former = getattr(failed.before, "target", None) in handles(act)
    stays = shared and (failed_in is Phase.WITHDRAW or failed.before is not None)
    return phase is Phase.SWEEP and bool(stays or about or former)


def _announcements(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    withdrawn: list[Change] = []
    announced: list[Change] = []
    for change in changes:
        if change.after is None:
            withdrawn.append(change)
        elif _interface(change.before) == _interface(change.after) or change.before is None:
            announced.append(change)
        else:
            withdrawn.append(Change(change.key, change.before, None))
            announced.append(Change(change.key, None, change.after))
    return withdrawn, announced


def _interface(entry: Entry | None) -> str | None:
    return entry.interface if isinstance(entry, Announcement) else ""


def _steps(phase: Phase, changes: Iterable[Change]) -> Iterable[Step]:
    return (Step(phase, change) for change in changes)


def _flush(phase: Phase, flush: Flush) -> Sequence[Step]:
    return [Step(phase, flush)] if flush else []


def handles(change: Change) -> set[str]:
    """Return the interfaces, addresses and prefixes that an act is about."""
    # Nobody is led to the fixed address of an egress entry by it.
    names = () if change.key.table is Table.EGRESS else change.key.name
    found = {split(Prefix(name))[0] if "/" in name and is_host(Prefix(name)) else name for name in names}
    for entry in (change.before, change.after):
        found |= {text for field in _ABOUT if (text := getattr(entry, field, None))}
    return found
