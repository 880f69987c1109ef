# SPDX-License-Identifier: Apache-2.0
"""Removals wait when the store may have forgotten; nothing else does."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.nodestate import Announcement, Change, Flush, Key, NodeState, Phase, PortGuard, Table
from buoy.model.pool import Direction
from buoy.model.proxied import ProxyMode
from buoy.model.service_ip import Attachment, PortMapping
from buoy.planner.guard import Guarded, freed, guard
from buoy.planner.plan import Plan, make_plan
from buoy.planner.sight import Sight
from tests.unit.planner.cloud import SERVICE, endpoint, floating, key, node, port
from tests.unit.planner.cluster import WEB, balanced, cluster, forwarding, pool, settings

FROM_BLUE = Rule(side=Side.INGRESS, family=4, group="blue")
RED = SecurityGroup(id="red", rules=(FROM_BLUE,))
BLUE = Member(group="blue", prefix=Prefix("192.0.2.77/32"))
FULL: NodeState = dict(node(port(groups=("red",)), floating(), RED, BLUE).state)
GONE = make_plan(FULL, {})


def held(guarded: Guarded) -> set[Key]:
    return {step.act.key for step in guarded.held if isinstance(step.act, Change)}


def test_nothing_that_serves_is_removed() -> None:
    guarded = guard(GONE)
    assert FULL.keys() - {key(Table.MEMBER, "blue", "192.0.2.77/32")} == held(guarded)
    assert [key(Table.MEMBER, "blue", "192.0.2.77/32")] == [change.key for change in guarded.plan.changes]


def test_what_is_not_doubtful_is_removed() -> None:
    assert Guarded(GONE) == guard(GONE, ())


def test_what_is_doubtful_is_held_with_the_policy_it_needs() -> None:
    doubtful, needed = key(Table.ROUTE, "192.0.2.1/32"), key(Table.GUARD, "tap1")
    guarded = guard(GONE, {doubtful})
    assert {doubtful} == guarded.serving
    assert {doubtful, needed} == {each for each in held(guarded) if each.table in {Table.ROUTE, Table.GUARD}}
    assert key(Table.DNAT, SERVICE) in {change.key for change in guarded.plan.changes}


def test_connections_of_what_is_held_are_left_alone() -> None:
    narrowed, source = key(Table.GUARD, "tap2"), (Mac("fa:16:3e:00:00:02"), Prefix("192.0.2.77/32"))
    plan = make_plan({**FULL, narrowed: PortGuard("r", (source,))}, {narrowed: PortGuard("r", ())})
    flushes = [step.act for step in guard(plan).plan.steps if isinstance(step.act, Flush)]
    assert [Flush((Address("192.0.2.77"),))] == flushes
    forgotten = [step.act for step in guard(GONE).plan.steps if isinstance(step.act, Flush)]
    assert [Flush((), (Address("192.0.2.77"),))] == forgotten
    nothing_left = guard(make_plan(dict(node(port(), floating()).state), {}))
    assert not nothing_left.plan


def test_additions_and_changes_go_on() -> None:
    plan = make_plan({}, FULL)
    assert Guarded(plan) == guard(plan)


def test_an_announcement_that_changes_interface_is_no_removal() -> None:
    told = key(Table.ANNOUNCEMENT, "198.51.100.1/32")
    plan = make_plan({told: Announcement("tap1")}, {told: Announcement("tap2")})
    assert () == guard(plan).held


def test_the_guard_of_a_port_without_groups_is_held_with_its_addresses() -> None:
    state = dict(node(port(port_security=False)).state)
    assert set(state) == held(guard(make_plan(state, {})))


def test_policy_that_nothing_held_needs_is_removed() -> None:
    state = dict(node(port(), links=()).state)
    assert make_plan(state, {}) == guard(make_plan(state, {})).plan


def test_a_flush_of_new_nat_is_never_held() -> None:
    before = dict(node(port(), floating()).state)
    after = {**before, key(Table.DNAT, SERVICE): before[key(Table.EGRESS, "192.0.2.1")]}
    del after[key(Table.EGRESS, "192.0.2.1")]
    phases = [step.phase for step in guard(make_plan(before, after)).plan.steps]
    assert [Phase.BUILD, Phase.FLUSH_NEW] == phases
    assert Plan() == guard(Plan()).plan


AGGREGATE = settings(pool(aggregate=True), pool("203.0.113.4/30", aggregate=False))


@pytest.mark.parametrize(
    ("sight", "left"),
    [
        (forwarding(WEB), {"203.0.113.0/24", "203.0.113.5/32"}),
        (forwarding(), {"203.0.113.0/24"}),
        (forwarding(refused=[WEB]), {"203.0.113.0/24"}),
        (Sight(proxy=ProxyMode.UNCHECKED), {"203.0.113.0/24", "203.0.113.5/32"}),
        (Sight(proxy=ProxyMode.NFTABLES, families=frozenset({4})), {"203.0.113.0/24"}),
        (Sight(proxy=ProxyMode.NFTABLES, families=frozenset({6})), set()),
        (Sight(), set()),
    ],
)
def test_for_services_is_held_only_what_is_still_forwarded(sight: Sight, left: set[str]) -> None:
    plan = make_plan(dict(cluster(AGGREGATE, balanced()).state), {})
    found = freed(guard(plan), plan, sight)
    assert {key(table, prefix) for prefix in left for table in (Table.STRAY, Table.ANNOUNCEMENT)} == held(found)
    assert len(plan.steps) == len(found.plan.steps) + len(found.held)
    assert sorted(found.plan.steps, key=lambda step: step.phase) == list(found.plan.steps)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("mapped", [False, True])
def test_a_floating_ip_of_a_pod_is_held_for_no_proxy_forwards_it(direction: Direction, *, mapped: bool) -> None:
    mapping = PortMapping(protocol="udp", first=53, last=53, target_first=5353) if mapped else None
    pod = endpoint(workload="shop/db-0", attached=Attachment.HOST, mapping=mapping)
    plan = make_plan(dict(node(floating(direction=direction, endpoints=(pod,)), links=()).state), {})
    assert guard(plan) == freed(guard(plan), plan, forwarding())


def test_what_guests_have_is_held_whatever_a_proxy_does() -> None:
    plan = make_plan(FULL, {})
    assert guard(plan) == freed(guard(plan), plan, Sight())
