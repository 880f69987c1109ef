"""Removals wait when the store may have forgotten; nothing else does."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.nodestate import Announcement, Change, Flush, Key, NodeState, Phase, PortGuard, Table
from buoy.model.snapshot import Identity
from buoy.planner.guard import Guarded, guard
from buoy.planner.plan import Plan, make_plan
from tests.unit.planner.cloud import SERVICE, floating, key, node, port

KEPT, NEWER = Identity("one", 100), Identity("one", 101)
OLDER, OTHER = Identity("one", 99), Identity("two", 500)
FROM_BLUE = Rule(side=Side.INGRESS, family=4, group="blue")
RED = SecurityGroup(id="red", rules=(FROM_BLUE,))
BLUE = Member(group="blue", prefix=Prefix("192.0.2.77/32"))
FULL: NodeState = dict(node(port(groups=("red",)), floating(), RED, BLUE).state)
GONE = make_plan(FULL, {})


def held(guarded: Guarded) -> set[Key]:
    return {step.act.key for step in guarded.held if isinstance(step.act, Change)}


@pytest.mark.parametrize("seen", [KEPT, NEWER])
def test_a_store_that_went_on_is_believed(seen: Identity) -> None:
    assert Guarded(GONE) == guard(GONE, seen, KEPT)


def test_the_first_store_is_believed() -> None:
    assert Guarded(GONE) == guard(GONE, OTHER, None)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (OLDER, "store one went back from revision 100 to 99"),
        (OTHER, "store two speaks, one was believed last"),
    ],
)
def test_another_or_an_older_store_removes_nothing_that_serves(seen: Identity, cause: str) -> None:
    guarded = guard(GONE, seen, KEPT)
    assert cause == guarded.cause
    assert FULL.keys() - {key(Table.MEMBER, "blue", "192.0.2.77/32")} == held(guarded)
    assert [key(Table.MEMBER, "blue", "192.0.2.77/32")] == [change.key for change in guarded.plan.changes]


def test_connections_of_what_is_held_are_left_alone() -> None:
    narrowed, source = key(Table.GUARD, "tap2"), (Mac("fa:16:3e:00:00:02"), Prefix("192.0.2.77/32"))
    plan = make_plan({**FULL, narrowed: PortGuard("r", (source,))}, {narrowed: PortGuard("r", ())})
    flushes = [step.act for step in guard(plan, OLDER, KEPT).plan.steps if isinstance(step.act, Flush)]
    assert [Flush((Address("192.0.2.77"),))] == flushes
    forgotten = [step.act for step in guard(GONE, OLDER, KEPT).plan.steps if isinstance(step.act, Flush)]
    assert [Flush((), (Address("192.0.2.77"),))] == forgotten
    nothing_left = guard(make_plan(dict(node(port(), floating()).state), {}), OLDER, KEPT)
    assert not nothing_left.plan


def test_additions_and_changes_go_on() -> None:
    plan = make_plan({}, FULL)
    assert Guarded(plan, (), "store two speaks, one was believed last") == guard(plan, OTHER, KEPT)


def test_an_announcement_that_changes_interface_is_no_removal() -> None:
    told = key(Table.ANNOUNCEMENT, "198.51.100.1/32")
    plan = make_plan({told: Announcement("tap1")}, {told: Announcement("tap2")})
    assert () == guard(plan, OLDER, KEPT).held


def test_what_was_said_after_the_listing_is_removed() -> None:
    before = dict(node(port(), floating()).state)
    after = dict(node(port()).state)
    plan = make_plan(before, after)
    assert plan == guard(plan, OLDER, KEPT, released=before.keys() - after.keys()).plan


def test_the_guard_of_a_port_without_groups_is_held_with_its_addresses() -> None:
    state = dict(node(port(port_security=False)).state)
    assert set(state) == held(guard(make_plan(state, {}), OLDER, KEPT))


def test_policy_that_nothing_held_needs_is_removed() -> None:
    state = dict(node(port(), links=()).state)
    assert make_plan(state, {}) == guard(make_plan(state, {}), OLDER, KEPT).plan


def test_a_doubt_lasts_until_it_is_released_though_revisions_go_on() -> None:
    guarded = guard(GONE, NEWER, KEPT, doubt="store one went back")
    assert "store one went back" == guarded.cause
    assert guarded.held


def test_a_flush_of_new_nat_is_never_held() -> None:
    before = dict(node(port(), floating()).state)
    after = {**before, key(Table.DNAT, SERVICE): before[key(Table.EGRESS, "192.0.2.1")]}
    del after[key(Table.EGRESS, "192.0.2.1")]
    phases = [step.phase for step in guard(make_plan(before, after), OLDER, KEPT).plan.steps]
    assert [Phase.BUILD, Phase.FLUSH_NEW] == phases
    assert Plan() == guard(Plan(), OLDER, KEPT).plan
