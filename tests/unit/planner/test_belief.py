# SPDX-License-Identifier: Apache-2.0
"""A store set back is told by what it must know and does not; only what it may have forgotten is doubtful."""

import msgspec
import pytest

from buoy.model.address import Address
from buoy.model.nodestate import Change, Dnat, Key, Phase, Step, Table
from buoy.model.snapshot import Identity
from buoy.planner.belief import Belief, hear, judge, preview, said, setback
from buoy.planner.plan import Plan

HEARD = Identity("one", 100, 90)
OLDER = Identity("one", 99, 90)
FIRST, SECOND = (Key(Table.DNAT, (address,)) for address in ("198.51.100.7", "198.51.100.8"))
OWNERS = {FIRST: "service-ips/198.51.100.7", SECOND: "service-ips/198.51.100.8"}


def removing(*keys: Key) -> Plan:
    return Plan(tuple(Step(Phase.SWEEP, Change(key, Dnat(Address("192.0.2.7")), None)) for key in keys))


def doubting(*doubtful: Key) -> Belief:
    """Return the belief after a restore, when all has been looked at."""
    begun = hear(Belief(HEARD), OLDER, listed=True, owners=lambda: OWNERS)
    return judge(begun, removing(*doubtful), whole=True)[0]


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (HEARD, ""),
        (Identity("one", 101, 90), ""),
        (Identity("one", 101, 101), ""),
        (Identity("two", 500, 90), "store two speaks, one was believed last"),
        (OLDER, "store one went back from revision 100 to 99"),
        (Identity("one", 500, 89), "store one was set back: this node's witness of revision 90 is of revision 89"),
        (Identity("one", 500), "store one was set back: this node's witness of revision 90 is gone"),
    ],
)
def test_a_listing_proves_a_setback_by_store_revision_or_witness(seen: Identity, cause: str) -> None:
    assert cause == setback(seen, HEARD)
    assert cause == hear(Belief(HEARD), seen, listed=True).cause


def test_the_first_store_is_believed() -> None:
    assert "" == setback(HEARD, None)


def test_what_a_watch_tells_was_said_and_proves_nothing() -> None:
    assert Belief(Identity("one", 101)) == hear(Belief(HEARD), Identity("one", 101), listed=False)


def test_until_everything_was_looked_at_all_removals_are_held() -> None:
    begun = hear(Belief(HEARD), OLDER, listed=True)
    after, guarded = judge(begun, removing(FIRST), whole=False)
    assert (begun, frozenset({FIRST}), True) == (after, guarded.serving, after.unsettled)


def test_doubtful_is_what_was_there_and_not_wanted_when_the_doubt_began() -> None:
    after = doubting(FIRST)
    assert ({FIRST: OWNERS[FIRST]}, False) == (after.doubtful, after.unsettled)
    assert {FIRST} == preview(after, removing(FIRST, SECOND)).serving


def test_what_is_wanted_again_is_not_doubtful_any_more() -> None:
    after, _ = judge(doubting(FIRST, SECOND), removing(SECOND), whole=False)
    assert {SECOND} == preview(after, removing(FIRST, SECOND)).serving


def test_a_document_that_a_living_writer_spoke_of_has_nothing_doubtful() -> None:
    begun = doubting(FIRST, SECOND)
    assert begun is said(begun, {"service-ips/198.51.100.9"})
    after = said(begun, {OWNERS[FIRST], "networks/net"})
    assert {SECOND} == preview(after, removing(FIRST, SECOND)).serving
    assert Belief(HEARD) == said(Belief(HEARD), {OWNERS[FIRST]})


def test_what_nobody_knows_the_origin_of_waits_for_a_person() -> None:
    begun = hear(Belief(HEARD), OLDER, listed=True)
    after, _ = judge(begun, removing(FIRST), whole=True)
    assert {FIRST} == preview(said(after, set(OWNERS.values())), removing(FIRST)).serving


@pytest.mark.parametrize(("whole", "cause"), [(True, ""), (False, "store one went back from revision 100 to 99")])
def test_a_doubt_with_nothing_doubtful_is_over_once_all_was_looked_at(whole: bool, cause: str) -> None:
    begun = hear(Belief(HEARD), OLDER, listed=True)
    assert cause == judge(begun, removing(), whole=whole)[0].cause


def test_a_doubt_is_over_with_the_last_doubtful_entry_unless_something_else_waits() -> None:
    begun = doubting(FIRST)
    waiting, _ = judge(begun, removing(), whole=False, waits=True)
    assert ("store one went back from revision 100 to 99", {}) == (waiting.cause, waiting.doubtful)
    assert Belief(OLDER) == judge(waiting, removing(), whole=False)[0]


def test_a_second_setback_makes_everything_doubtful_again_and_forgets_no_origin() -> None:
    begun = doubting(FIRST)
    again = hear(begun, Identity("one", 98, 90), listed=True, owners=lambda: {SECOND: OWNERS[SECOND]})
    assert ("store one went back from revision 99 to 98", None, OWNERS) == (again.cause, again.doubtful, again.owners)
    third = hear(again, Identity("two", 98), listed=True)
    assert ("store two speaks, one was believed last", OWNERS) == (third.cause, third.owners)


def test_a_store_that_went_on_in_doubt_is_heard_and_still_doubted() -> None:
    begun = doubting(FIRST)
    later = Identity("one", 500, 400)
    assert msgspec.structs.replace(begun, heard=later) == hear(begun, later, listed=True)
