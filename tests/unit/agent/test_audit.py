# SPDX-License-Identifier: Apache-2.0
"""When a host is read afresh, and how little of it at a time."""

import pytest

from buoy.agent.audit import Audit
from buoy.dataplane.fake import Fake
from buoy.model.address import Mac
from buoy.model.guest import GuestConfig
from buoy.model.nodestate import Key, LinkSettings, NodeState, Table

FILE = Key(Table.DHCP, ("tap1",))
WANTED: NodeState = {
    FILE: GuestConfig(interface="tap1", mac=Mac("fa:16:3e:00:00:01")),
    Key(Table.LINK, ("tap1",)): LinkSettings(),
}
NOTHING = (frozenset[Key](), False)


@pytest.fixture
def audit() -> Audit:
    """Return an audit each hundred seconds, the last of which was at 1000."""
    made = Audit(Fake())
    made.interval = 100.0
    made.over(1000.0)
    return made


def test_between_two_nothing_is_read(audit: Audit) -> None:
    assert (NOTHING, 60.0) == (audit.turn(WANTED, 1040.0), audit.wait(1040.0))


def test_its_parts_have_a_turn_each_and_time_for_others_between_them(audit: Audit) -> None:
    assert audit.begins(1100.0)
    turns = [audit.turn(WANTED, 1100.0), audit.turn(WANTED, 1100.1)]
    assert ([NOTHING, NOTHING], False) == (turns, audit.begins(1100.1))
    assert 0.0 < audit.wait(1100.1) < 1.0


def test_it_ends_with_a_look_at_the_files_that_were_wanted_for_nobody_tells_of_those(audit: Audit) -> None:
    *_, last = [audit.turn(WANTED, 1100.0 + turn) for turn in range(3)]
    assert (frozenset({FILE}), True) == last
    assert (NOTHING, 100.0) == (audit.turn(WANTED, 1102.0), audit.wait(1102.0))


def test_who_has_read_everything_has_made_it(audit: Audit) -> None:
    audit.turn(WANTED, 1100.0)
    audit.over(1100.5)
    assert (NOTHING, 100.0) == (audit.turn(WANTED, 1100.5), audit.wait(1100.5))
