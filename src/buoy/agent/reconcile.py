# SPDX-License-Identifier: Apache-2.0
"""THE pass: observe → desire → plan → guard → apply → verify. Start reading here.

Start, change and repair are this one function with different `keys`. Nothing is
announced whose forwarding and policy were not seen on the host after they were built.
"""

from collections.abc import Callable, Collection

import msgspec

from buoy.dataplane.driver import Host
from buoy.model.nodestate import Change, Failure, Key, Phase, Step
from buoy.planner.desired import Desired
from buoy.planner.guard import Guarded
from buoy.planner.plan import Plan, make_plan
from buoy.planner.verify import Mismatch, mismatches

Judge = Callable[[Plan], Guarded]


class Outcome(msgspec.Struct, frozen=True):
    """What one pass decided, what the host refused, and what still differs afterwards."""

    plan: Plan
    held: tuple[Step, ...]
    failures: tuple[Failure, ...]
    wrong: tuple[Mismatch, ...]


def reconcile(host: Host, desired: Desired, keys: Collection[Key] | None, judge: Judge) -> Outcome:
    """Make the host hold what is desired under `keys` (None: everything), and look whether it does.

    Each look is at what differed in the one before: what was right and was not touched is right
    until the host says otherwise, which is a disturbance and the next pass's business.
    """
    plan = make_plan(host.observe(keys), desired.state, keys, desired)
    guarded = judge(plan)
    steps = guarded.plan.steps
    failures = host.apply([step for step in steps if step.phase < Phase.ANNOUNCE])
    lacking = _look(host, desired, {change.key for change in plan.changes})
    rest = [step for step in steps if step.phase >= Phase.ANNOUNCE]
    announced = [step.act.key for step in rest if step.phase is Phase.ANNOUNCE and isinstance(step.act, Change)]
    baseless = desired.baseless(announced, lacking)
    failures += host.apply([step for step in rest if not _announces(step, baseless)])
    wrong = _look(host, desired, {mismatch.key for mismatch in lacking})
    return Outcome(guarded.plan, guarded.held, tuple(failures), wrong)


def _look(host: Host, desired: Desired, keys: Collection[Key]) -> tuple[Mismatch, ...]:
    return mismatches(desired.state, host.observe(keys), keys) if keys else ()


def _announces(step: Step, keys: Collection[Key]) -> bool:
    return step.phase is Phase.ANNOUNCE and getattr(step.act, "key", None) in keys
