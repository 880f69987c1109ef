# SPDX-License-Identifier: Apache-2.0
"""The promise: no act of Buoy's ever leaves an announced prefix without its forwarding and policy.

`BUOY_EXAMPLES` sets the number of random pairs of states (long run: 20000).
"""

import os
import random
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.model.address import Prefix
from buoy.model.nodestate import Announcement, Change, Phase, Step, Table
from buoy.planner.plan import make_plan
from tests.properties.node_states import State, broken, node_states, way

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300"))
PROMISE = settings(max_examples=EXAMPLES)


def applied(state: State, steps: Iterable[Step]) -> State:
    """Return the state after steps, each of which must find what it expects."""
    result = dict(state)
    for step in steps:
        if isinstance(step.act, Change):
            assert result.get(step.act.key) == step.act.before
            if step.act.after is None:
                del result[step.act.key]
            else:
                result[step.act.key] = step.act.after
    return result


def first_break(before: State, after: State, steps: Sequence[Step]) -> list[str]:
    """Return the prefixes left without service at the first prefix of the steps where there are any."""
    state = dict(before)
    for step in steps:
        state = applied(state, [step])
        if wrong := broken(state, before, after):
            return wrong
    return []


@PROMISE
@given(node_states())
def test_every_announced_prefix_of_a_random_state_is_served(state: State) -> None:
    assert [] == [
        found
        for key in state
        if key.table is Table.ANNOUNCEMENT and "no " in (found := way(state, Prefix(key.name[0])))
    ]


@PROMISE
@given(node_states(), node_states())
def test_the_promise_holds_at_every_prefix_of_a_plan(before: State, after: State) -> None:
    assert [] == first_break(before, after, make_plan(before, after).steps)


@PROMISE
@given(node_states(), node_states())
def test_a_plan_makes_the_observed_state_the_desired_one(before: State, after: State) -> None:
    assert after == applied(before, make_plan(before, after).steps)


@PROMISE
@given(node_states())
def test_equal_states_need_no_plan(state: State) -> None:
    assert not make_plan(state, dict(state))


@PROMISE
@given(node_states(), node_states(), st.integers(0, 200))
def test_after_a_crash_at_any_step_a_new_plan_arrives_and_keeps_the_promise(
    before: State, after: State, at: int
) -> None:
    crashed = applied(before, make_plan(before, after).steps[:at])
    again = make_plan(crashed, after).steps
    assert [] == first_break(crashed, after, again)
    assert after == applied(crashed, again)


@PROMISE
@given(node_states(), node_states(), st.randoms(use_true_random=False))
def test_the_order_of_input_does_not_matter(before: State, after: State, chance: random.Random) -> None:
    def shuffled(state: State) -> State:
        items = list(state.items())
        chance.shuffle(items)
        return dict(items)

    assert make_plan(before, after) == make_plan(shuffled(before), shuffled(after))


@PROMISE
@given(node_states(), node_states())
def test_the_reverse_of_a_plan_restores(before: State, after: State) -> None:
    backwards = [Step(Phase.BUILD, change.reverse) for change in reversed(make_plan(before, after).changes)]
    assert before == applied(after, backwards)


@PROMISE
@given(node_states(), node_states())
def test_additions_alone_keep_the_promise(before: State, after: State) -> None:
    keep = {**before, **after}
    steps = [step for step in make_plan(before, keep).steps if step.phase is not Phase.SWEEP]
    assert [] == first_break(before, keep, steps)


@PROMISE
@given(node_states(), node_states())
def test_a_plan_for_some_keys_is_the_part_of_the_plan_for_all(before: State, after: State) -> None:
    keys = {key for key in before.keys() | after.keys() if hash(key) % 2}
    part = make_plan({key: before[key] for key in keys & before.keys()}, after, keys)
    assert [change for change in make_plan(before, after).changes if change.key in keys] == list(part.changes)


@PROMISE
@given(node_states(), node_states())
def test_an_announcement_that_stays_on_its_interface_is_never_withdrawn(before: State, after: State) -> None:
    stays = {
        key
        for key, entry in before.items()
        if isinstance(entry, Announcement)
        and isinstance(now := after.get(key), Announcement)
        and now.interface == entry.interface
    }
    gone = {change.key for change in make_plan(before, after).changes if change.after is None}
    assert set() == stays & gone


def sweep_first(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.phase not in (Phase.SWEEP, Phase.FLUSH_OLD))


def announce_before_build(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.phase not in (Phase.WITHDRAW, Phase.ANNOUNCE))


def unsorted(steps: Sequence[Step]) -> list[Step]:
    return random.Random(len(steps)).sample(list(steps), len(steps))


def withdraw_last(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.phase is Phase.WITHDRAW)


@pytest.mark.parametrize("wrong", [sweep_first, announce_before_build, unsorted, withdraw_last])
def test_planted_wrong_orders_are_caught(wrong: Callable[[Sequence[Step]], list[Step]]) -> None:
    caught = []

    @settings(max_examples=100, database=None, derandomize=True)
    @given(node_states(), node_states())
    def look(before: State, after: State) -> None:
        steps = wrong(make_plan(before, after).steps)
        state = dict(before)
        for step in steps:
            if isinstance(step.act, Change):
                if step.act.after is None:
                    state.pop(step.act.key, None)
                else:
                    state[step.act.key] = step.act.after
            if broken(state, before, after):
                caught.append(steps)
                return

    look()
    assert caught
