# SPDX-License-Identifier: Apache-2.0
"""Which connections end with a change: as few as will do."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Combination,
    Dnat,
    Egress,
    Entry,
    Flush,
    GroupMember,
    GroupRules,
    Internal,
    Key,
    Mapping,
    Phase,
    PortGuard,
    Relay,
    Route,
    Table,
)
from buoy.planner.plan import make_plan
from tests.unit.planner.cloud import FIXED, OTHER_FIXED, SERVICE, SERVICE2, key

State = dict[Key, Entry]
MAC = Mac("fa:16:3e:00:00:01")
SSH = Rule(side=Side.INGRESS, family=4, protocol=6, first=22, last=22)
WEB = Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=80)
FROM_BLUE = Rule(side=Side.INGRESS, family=4, group="blue")
DNAT, EGRESS, ROUTE = key(Table.DNAT, SERVICE), key(Table.EGRESS, FIXED), key(Table.ROUTE, "192.0.2.1/32")
MAPPED, RELAY = key(Table.MAPPING, SERVICE, "tcp", "80"), key(Table.RELAY, SERVICE, OTHER_FIXED)
GUARD, RED = key(Table.GUARD, "tap1"), key(Table.GROUP, "red")


def guard(combination: str | None, *prefixes: str) -> PortGuard:
    return PortGuard(combination, tuple((MAC, Prefix(prefix)) for prefix in prefixes))


COMBINATIONS: State = {
    key(Table.COMBINATION, "r"): Combination(("red",)),
    key(Table.COMBINATION, "rg"): Combination(("green", "red")),
    key(Table.COMBINATION, "none"): Combination(()),
}
USED: State = {GUARD: guard("r", "192.0.2.1/32", "fe80::1/128", "10.0.0.0/8"), **COMBINATIONS}
OTHERS: State = {key(Table.GUARD, "tap2"): guard("unknown", "192.0.2.2/32"), key(Table.GUARD, "tap3"): guard(None)}


def flushed(before: State, after: State, phase: Phase) -> tuple[Address, ...]:
    """Return the addresses a plan flushes wholly in a phase."""
    return acts(before, after, phase).addresses


def acts(before: State, after: State, phase: Phase) -> Flush:
    """Return what a plan flushes in a phase."""
    steps = make_plan(before, after).steps
    return next((step.act for step in steps if step.phase is phase and isinstance(step.act, Flush)), Flush(()))


@pytest.mark.parametrize(
    ("before", "after", "addresses"),
    [
        ({}, {DNAT: Dnat(FIXED)}, (SERVICE,)),
        ({DNAT: Dnat(FIXED)}, {DNAT: Dnat(OTHER_FIXED)}, (SERVICE,)),
        ({}, {EGRESS: Egress(SERVICE)}, ()),
        ({EGRESS: Egress(SERVICE2)}, {EGRESS: Egress(SERVICE)}, (SERVICE2,)),
        ({}, {MAPPED: Mapping(FIXED, 80), RELAY: Relay()}, (SERVICE,)),
        ({}, {ROUTE: Route("tap1")}, ()),
        ({ROUTE: Route("tap1")}, {ROUTE: Route("tap2")}, (FIXED,)),
        ({ROUTE: Route("tap1", "192.0.2.1/32 dev eth9 metric 5 proto 3")}, {ROUTE: Route("tap1")}, ()),
        ({}, USED, ()),
        ({DNAT: Dnat(FIXED)}, {}, ()),
    ],
)
def test_flows_begun_before_meet_what_was_built(before: State, after: State, addresses: tuple[Address, ...]) -> None:
    assert addresses == flushed(before, after, Phase.FLUSH_NEW)


@pytest.mark.parametrize("before", [{}, {EGRESS: Egress(SERVICE2)}])
def test_of_a_guests_own_flows_those_that_nobody_has_answered_begin_anew_with_its_service_ip(before: State) -> None:
    assert (FIXED,) == acts(before, {EGRESS: Egress(SERVICE)}, Phase.FLUSH_NEW).unanswered


@pytest.mark.parametrize(
    ("before", "after", "addresses"),
    [
        ({DNAT: Dnat(FIXED)}, {}, (SERVICE,)),
        ({EGRESS: Egress(SERVICE2)}, {}, (SERVICE2,)),
        ({MAPPED: Mapping(FIXED, 80)}, {}, (SERVICE,)),
        ({RELAY: Relay()}, {}, (SERVICE,)),
        ({ROUTE: Route("tap1")}, {}, (FIXED,)),
        (USED, COMBINATIONS, (FIXED,)),
        (USED, {**USED, GUARD: guard("rg", "192.0.2.1/32", "fe80::1/128", "10.0.0.0/8")}, ()),
        ({**USED, GUARD: guard("rg", "192.0.2.1/32")}, {**USED, GUARD: guard("r", "192.0.2.1/32")}, ()),
        ({**USED, GUARD: guard("rg", "192.0.2.1/32")}, {**USED, GUARD: guard("none", "192.0.2.1/32")}, (FIXED,)),
        (
            {**USED, GUARD: guard("r", "192.0.2.1/32", "192.0.2.2/32")},
            {**USED, GUARD: guard("r", "192.0.2.1/32")},
            (OTHER_FIXED,),
        ),
        (USED, {**USED, GUARD: guard(None)}, ()),
        ({**USED, GUARD: guard(None, "192.0.2.1/32")}, {**USED, GUARD: guard("r", "192.0.2.1/32")}, ()),
        ({**USED, **OTHERS, RED: GroupRules((SSH, WEB))}, {**USED, **OTHERS, RED: GroupRules((WEB,))}, ()),
        ({**USED, RED: GroupRules((SSH,))}, {**USED, RED: GroupRules((SSH, WEB))}, ()),
        ({key(Table.MEMBER, "blue", "192.0.2.2/32"): GroupMember()}, {}, ()),
        (
            {**USED, RED: GroupRules((FROM_BLUE,)), key(Table.MEMBER, "blue", "198.18.0.0/15"): GroupMember()},
            {**USED, RED: GroupRules((FROM_BLUE,))},
            (),
        ),
        ({key(Table.INTERNAL, "192.0.2.0/24"): Internal()}, {}, ()),
    ],
)
def test_what_was_removed_ends_its_flows(before: State, after: State, addresses: tuple[Address, ...]) -> None:
    assert addresses == flushed(before, after, Phase.FLUSH_OLD)


@pytest.mark.parametrize(
    ("before", "after", "phase", "service_ips"),
    [
        ({}, {DNAT: Dnat(FIXED)}, Phase.FLUSH_NEW, (SERVICE,)),
        ({EGRESS: Egress(SERVICE2)}, {EGRESS: Egress(SERVICE)}, Phase.FLUSH_NEW, ()),
        ({ROUTE: Route("tap1")}, {ROUTE: Route("tap2"), DNAT: Dnat(FIXED)}, Phase.FLUSH_NEW, (SERVICE,)),
        ({DNAT: Dnat(FIXED), EGRESS: Egress(SERVICE2)}, {}, Phase.FLUSH_OLD, (SERVICE, SERVICE2)),
        ({DNAT: Dnat(FIXED), ROUTE: Route("tap1")}, {}, Phase.FLUSH_OLD, (SERVICE,)),
        ({key(Table.DNAT, FIXED): Dnat(OTHER_FIXED), ROUTE: Route("tap1")}, {}, Phase.FLUSH_OLD, (FIXED,)),
        ({**USED, key(Table.DNAT, FIXED): Dnat(OTHER_FIXED)}, COMBINATIONS, Phase.FLUSH_OLD, ()),
        ({DNAT: Dnat(FIXED), EGRESS: Egress(SERVICE)}, {DNAT: Dnat(FIXED)}, Phase.FLUSH_OLD, (SERVICE,)),
        (
            {DNAT: Dnat(FIXED), EGRESS: Egress(SERVICE)},
            {DNAT: Dnat(OTHER_FIXED), EGRESS: Egress(SERVICE2)},
            Phase.FLUSH_NEW,
            (),
        ),
    ],
)
def test_where_only_translation_changed_is_told_apart(
    before: State, after: State, phase: Phase, service_ips: tuple[Address, ...]
) -> None:
    assert service_ips == acts(before, after, phase).service_ips


BOTH: State = {**USED, GUARD: guard("rg", "192.0.2.1/32")}
ONE: State = {**USED, GUARD: guard("r", "192.0.2.1/32")}


@pytest.mark.parametrize(
    ("before", "after", "addresses"),
    [
        (BOTH, ONE, (FIXED,)),
        (ONE, BOTH, ()),
        (BOTH, {key(Table.COMBINATION, "r"): Combination(("red",)), GUARD: ONE[GUARD]}, (FIXED,)),
        (ONE, {**USED, GUARD: guard("unheard", "192.0.2.1/32")}, (FIXED,)),
        ({**USED, GUARD: guard(None)}, ONE, (FIXED,)),
        (ONE, {**USED, GUARD: guard(None)}, ()),
        ({**USED, **OTHERS, RED: GroupRules((SSH, WEB))}, {**USED, **OTHERS, RED: GroupRules((WEB,))}, (FIXED,)),
        ({**USED, RED: GroupRules((SSH,))}, {**USED, RED: GroupRules((SSH, WEB))}, ()),
        ({key(Table.MEMBER, "blue", "192.0.2.2/32"): GroupMember()}, {}, (OTHER_FIXED,)),
        (
            {**USED, RED: GroupRules((FROM_BLUE,)), key(Table.MEMBER, "blue", "198.18.0.0/15"): GroupMember()},
            {**USED, RED: GroupRules((FROM_BLUE,))},
            (FIXED,),
        ),
        (USED, COMBINATIONS, ()),
    ],
)
def test_what_may_do_less_forgets_whom_it_answers_without_a_handshake(
    before: State, after: State, addresses: tuple[Address, ...]
) -> None:
    assert addresses == acts(before, after, Phase.FLUSH_OLD).connectionless
