# SPDX-License-Identifier: Apache-2.0
"""An agent's life when its store is another, or is set back to a backup: what it holds, and until when."""

from pathlib import Path

import pytest

from buoy.agent.witness import witness_path
from buoy.model.address import host_prefix
from buoy.model.node import Node
from buoy.model.nodestate import Key, Table
from buoy.model.reason import Reason
from buoy.model.status import State, Witness
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import FIXED, HERE, OTHER_FIXED, SERVICE, THERE, fixed, floating, port

TOLD = Key(Table.ANNOUNCEMENT, (host_prefix(SERVICE),))


@pytest.fixture
def served(tmp_path: Path) -> Story:
    """Return a story in which a floating IP is served."""
    story = Story(tmp_path)
    story.host.set_link("tap1")
    story.listed(port(), floating())
    return story


def said(story: Story) -> tuple[State, Reason | None] | None:
    status = story.address(SERVICE)
    return None if status is None else (status.state, status.reason)


def test_another_store_removes_nothing_without_a_person(served: Story) -> None:
    served.store = "another"
    served.start()
    served.listed()
    assert (True, True) == (served.holds(Table.DNAT, SERVICE), served.holds(*TOLD[:1], *TOLD.name))
    assert (State.ERROR, Reason.HELD_BY_GUARD) == said(served)
    served.agent.parts.caution.release()
    served.agent.look_at_everything()
    served.look()
    assert (None, False) == (said(served), served.holds(*TOLD[:1], *TOLD.name))


@pytest.mark.parametrize("listed", [True, False])
def test_what_another_store_knows_too_is_removed_when_it_is_deleted_there(served: Story, listed: bool) -> None:
    served.store = "another"
    served.changed(port(hostname="doubted"), listed=True)
    served.changed(gone=[port(), floating()], listed=listed)
    assert not served.holds(*TOLD[:1], *TOLD.name)


def test_what_another_store_lacks_is_held_until_somebody_speaks_of_it(served: Story) -> None:
    served.store = "another"
    served.changed(gone=[floating()], listed=True)
    served.agent.parts.caution.settle()
    served.start()
    served.listed(port())
    assert (True, True) == (served.holds(*TOLD[:1], *TOLD.name), bool(served.agent.parts.caution.cause))
    # written and deleted in one breath: a watch tells no deletion of what is not there
    served.changed(gone=[floating()])
    assert (False, "") == (served.holds(*TOLD[:1], *TOLD.name), served.agent.parts.caution.cause)


def test_what_a_backup_leaves_out_of_a_document_is_removed_when_the_next_one_leaves_it_out(served: Story) -> None:
    second = (Table.ROUTE, host_prefix(OTHER_FIXED))
    served.changed(port(fixed_ips=(fixed(FIXED), fixed(OTHER_FIXED))))
    served.store = "another"
    served.changed(port(), gone=[floating()], listed=True)
    assert served.holds(*second)
    served.changed(port(hostname="spoken-of"))
    assert (False, True) == (served.holds(*second), served.holds(*TOLD[:1], *TOLD.name))


def test_a_store_that_has_not_our_witness_was_set_back_however_far_it_has_come(served: Story) -> None:
    served.witness = 11
    served.changed(port())
    served.agent.parts.caution.settle()
    served.witness, served.revision = 9, 1000
    served.start()
    served.listed(port())
    assert "witness of revision 11 is of revision 9" in served.agent.parts.caution.cause
    assert served.holds(*TOLD[:1], *TOLD.name)


def test_a_node_relies_on_what_touches_it_and_on_nothing_else(served: Story) -> None:
    served.witness = 11
    wanted = []
    for document in (Node(name=THERE), port(hostname="renamed")):
        served.changed(document)
        wanted.append(served.agent.parts.caution.unwitnessed)
    assert [False, True] == wanted


def test_a_witness_is_no_status_that_nobody_says_any_more(served: Story) -> None:
    served.changed(Witness(node=HERE))
    assert witness_path(HERE) not in served.agent.reports._differs


def test_what_is_held_is_still_said_after_a_change_of_something_else(served: Story) -> None:
    served.store = "another"
    served.start()
    served.listed()
    served.changed(port(id="port9", interface="tap9", fixed_ips=()))
    assert (True, (State.ERROR, Reason.HELD_BY_GUARD)) == (served.holds(*TOLD[:1], *TOLD.name), said(served))
