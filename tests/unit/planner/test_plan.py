# SPDX-License-Identifier: Apache-2.0
"""The order of acts, one example each; that it keeps the promise is in tests/properties."""

import pytest

from buoy.model.address import Mac
from buoy.model.nodestate import (
    Announcement,
    Change,
    Class,
    Combination,
    Dnat,
    Egress,
    Entry,
    Failure,
    Flush,
    GroupRules,
    Key,
    Neighbour,
    Phase,
    PortGuard,
    Route,
    Step,
    Table,
)
from buoy.planner.plan import Plan, endangered, make_plan
from tests.unit.planner.cloud import FIXED, OTHER_FIXED, SERVICE, key

DNAT, ROUTE = key(Table.DNAT, SERVICE), key(Table.ROUTE, "198.51.100.1/32")
TOLD = key(Table.ANNOUNCEMENT, "198.51.100.1/32")
SERVED: dict[Key, Entry] = {ROUTE: Route("tap1"), DNAT: Dnat(FIXED), TOLD: Announcement("tap1")}


def add(phase: Phase, at: Key, entry: Entry) -> Step:
    return Step(phase, Change(at, None, entry))


def remove(phase: Phase, at: Key, entry: Entry) -> Step:
    return Step(phase, Change(at, entry, None))


def test_nothing_to_do_is_false() -> None:
    assert Plan() == make_plan(SERVED, SERVED)
    assert not Plan()
    assert make_plan({}, SERVED)


def test_an_address_comes() -> None:
    assert (
        add(Phase.BUILD, ROUTE, Route("tap1")),
        add(Phase.BUILD, DNAT, Dnat(FIXED)),
        Step(Phase.FLUSH_NEW, Flush((SERVICE,), service_ips=(SERVICE,))),
        add(Phase.ANNOUNCE, TOLD, Announcement("tap1")),
    ) == make_plan({}, SERVED).steps


def test_an_address_goes() -> None:
    assert (
        remove(Phase.WITHDRAW, TOLD, Announcement("tap1")),
        remove(Phase.SWEEP, DNAT, Dnat(FIXED)),
        remove(Phase.SWEEP, ROUTE, Route("tap1")),
        Step(Phase.FLUSH_OLD, Flush((SERVICE,), service_ips=(SERVICE,))),
    ) == make_plan(SERVED, {}).steps


def test_an_announcement_that_changes_interface_goes_and_comes() -> None:
    moved = {TOLD: Announcement("tap2")}
    assert (
        remove(Phase.WITHDRAW, TOLD, Announcement("tap1")),
        add(Phase.ANNOUNCE, TOLD, Announcement("tap2")),
    ) == make_plan({TOLD: Announcement("tap1")}, moved).steps


def test_an_announcement_that_changes_class_is_one_step() -> None:
    normal, drain = Announcement("tap1"), Announcement("tap1", Class.DRAIN)
    change = Change(TOLD, normal, drain)
    assert (Step(Phase.ANNOUNCE, change),) == make_plan({TOLD: normal}, {TOLD: drain}).steps


def test_only_the_keys_asked_for_are_planned() -> None:
    assert (add(Phase.BUILD, ROUTE, Route("tap1")),) == make_plan({}, SERVED, [ROUTE]).steps


TELL = add(Phase.ANNOUNCE, TOLD, Announcement("tap1"))
SWEEP = remove(Phase.SWEEP, DNAT, Dnat(FIXED))


@pytest.mark.parametrize(
    ("step", "failed", "danger"),
    [
        (TELL, add(Phase.BUILD, ROUTE, Route("tap1")), True),
        (TELL, add(Phase.BUILD, DNAT, Dnat(FIXED)), True),
        (TELL, add(Phase.BUILD, key(Table.GUARD, "tap1"), PortGuard(None, ())), True),
        (TELL, add(Phase.BUILD, key(Table.EGRESS, FIXED), Egress(SERVICE)), True),
        (TELL, add(Phase.BUILD, key(Table.NEIGHBOUR, "tap1", FIXED), Neighbour(Mac("fa:16:3e:00:00:01"))), True),
        (TELL, add(Phase.BUILD, key(Table.COMBINATION, "x"), Combination(())), True),
        (TELL, add(Phase.BUILD, key(Table.GUARD, "tap2"), PortGuard(None, ())), False),
        (TELL, Step(Phase.FLUSH_NEW, Flush((SERVICE,))), False),
        (TELL, Step(Phase.BUILD, Flush((SERVICE,))), False),
        (SWEEP, remove(Phase.WITHDRAW, TOLD, Announcement("tap1")), True),
        (SWEEP, remove(Phase.WITHDRAW, key(Table.ANNOUNCEMENT, "192.0.2.9/32"), Announcement("tap2")), False),
        (
            remove(Phase.SWEEP, key(Table.GROUP, "red"), GroupRules(())),
            remove(Phase.WITHDRAW, TOLD, Announcement(None)),
            True,
        ),
        (SWEEP, add(Phase.BUILD, key(Table.NEIGHBOUR, "tap1", SERVICE), Neighbour(Mac("fa:16:3e:00:00:01"))), True),
        (SWEEP, add(Phase.BUILD, key(Table.ROUTE, "192.0.2.9/32"), Route("tap1")), False),
        (SWEEP, add(Phase.BUILD, key(Table.GROUP, "red"), GroupRules(())), False),
        (
            remove(Phase.SWEEP, key(Table.ROUTE, "192.0.2.1/32"), Route("tap1")),
            Step(Phase.BUILD, Change(DNAT, Dnat(FIXED), Dnat(OTHER_FIXED))),
            True,
        ),
        (add(Phase.BUILD, DNAT, Dnat(FIXED)), add(Phase.BUILD, key(Table.ROUTE, "192.0.2.1/32"), Route("tap1")), True),
        (add(Phase.BUILD, ROUTE, Route("tap2")), remove(Phase.WITHDRAW, TOLD, Announcement("tap1")), True),
        (
            add(Phase.BUILD, ROUTE, Route("tap2")),
            add(Phase.BUILD, key(Table.GUARD, "tap9"), PortGuard(None, ())),
            False,
        ),
        (
            Step(Phase.BUILD, Change(key(Table.GUARD, "tap1"), PortGuard(None, ()), PortGuard("x", ()))),
            add(Phase.BUILD, key(Table.COMBINATION, "x"), Combination(())),
            True,
        ),
        (
            Step(Phase.BUILD, Change(key(Table.GROUP, "red"), None, GroupRules(()))),
            add(Phase.BUILD, key(Table.GROUP, "blue"), GroupRules(())),
            False,
        ),
        (remove(Phase.WITHDRAW, TOLD, Announcement("tap1")), add(Phase.BUILD, ROUTE, Route("tap1")), False),
        (Step(Phase.ANNOUNCE, Flush((SERVICE,))), add(Phase.BUILD, ROUTE, Route("tap1")), False),
    ],
)
def test_after_a_failure_only_what_hangs_together_with_it_is_in_danger(step: Step, failed: Step, danger: bool) -> None:
    assert danger is endangered(step, [Failure(failed, "no")])


def test_without_failures_nothing_is_in_danger() -> None:
    assert not endangered(add(Phase.ANNOUNCE, key(Table.ANNOUNCEMENT, f"{OTHER_FIXED}/32"), Announcement(None)), [])
