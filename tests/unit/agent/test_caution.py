# SPDX-License-Identifier: Apache-2.0
"""A doubt outlives the agent, and what would prove it again stays until it is on disk."""

from pathlib import Path

import pytest

from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.model.address import Address
from buoy.model.nodestate import Change, Dnat, Key, Phase, Step, Table
from buoy.model.snapshot import Identity
from buoy.planner.plan import Plan

REMOVAL = Step(Phase.SWEEP, Change(Key(Table.DNAT, ("198.51.100.7",)), Dnat(Address("192.0.2.7")), None))
OWNERS = {Key(Table.DNAT, ("198.51.100.7",)): "service-ips/198.51.100.7"}
HEARD, BACK = Identity("a1", 10, 9), Identity("a1", 8, 7)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.json")


@pytest.fixture
def caution(path: str) -> Caution:
    """Return the guard of an agent that has heard its store."""
    caution = Caution(Kept(path))
    caution.hear(HEARD, listed=True)
    return caution


def test_a_doubt_begins_once(caution: Caution) -> None:
    begins = [caution.hear(Identity("a1", revision), listed=True) for revision in (8, 9)]
    assert ([True, False], "store a1 went back from revision 10 to 8") == (begins, caution.cause)


def test_a_doubt_outlives_the_revision_that_overtakes_it_until_it_is_released(caution: Caution) -> None:
    caution.hear(BACK, listed=True)
    assert (REMOVAL,) == caution.judge(Plan((REMOVAL,)), whole=True).held
    caution.hear(Identity("a1", 11, 7), listed=False)
    assert (REMOVAL,) == caution.judge(Plan((REMOVAL,)), whole=True).held
    assert "store a1 went back from revision 10 to 8" == caution.release()
    assert () == caution.judge(Plan((REMOVAL,)), whole=True).held


def test_a_doubt_outlives_the_agent_before_and_after_it_was_looked_at(caution: Caution, path: str) -> None:
    caution.hear(BACK, listed=True)
    assert (REMOVAL,) == Caution(Kept(path)).preview(Plan((REMOVAL,))).held
    caution.judge(Plan(), whole=True, waits=True)
    caution.settle()
    again = Caution(Kept(path))
    assert (caution.cause, ()) == (again.cause, again.preview(Plan((REMOVAL,))).held)
    again.release()
    assert "" == Caution(Kept(path)).cause


def test_who_wanted_what_is_there_for_the_next_agent(caution: Caution, path: str) -> None:
    caution.hear(BACK, listed=True, owners=lambda: OWNERS)
    caution.judge(Plan((REMOVAL,)), whole=True)
    caution.settle()
    again = Caution(Kept(path))
    assert (REMOVAL,) == again.preview(Plan((REMOVAL,))).held
    again.said(OWNERS.values())
    assert () == again.judge(Plan((REMOVAL,)), whole=False).held
    assert "" == again.cause


def test_what_is_believed_is_there_for_the_next_agent(caution: Caution, path: str) -> None:
    caution.hear(Identity("a1", 12, 11), listed=False)
    caution.settle()
    assert Kept(path).belief.heard == Identity("a1", 12, 11)


def test_a_witness_is_wanted_once_something_relies_on_what_it_does_not_witness(path: str) -> None:
    caution = Caution(Kept(path))
    caution.rely()
    wanted = [caution.unwitnessed]
    caution.hear(HEARD, listed=True)
    wanted.append(caution.unwitnessed)
    caution.rely()
    wanted.append(caution.unwitnessed)
    caution.hear(Identity("a1", 12, 11), listed=False)
    assert [False, False, True, False] == [*wanted, caution.unwitnessed]


def test_a_witness_stays_what_it_is_until_the_doubt_is_on_disk(tmp_path: Path, caution: Caution) -> None:
    obstacle = tmp_path / "store.new"
    obstacle.mkdir()
    caution.hear(BACK, listed=True)
    caution.rely()
    wanted = [caution.unwitnessed]
    caution.judge(Plan((REMOVAL,)), whole=True)
    wanted.append(caution.unwitnessed)
    assert "free space" in caution.problem
    obstacle.rmdir()
    caution.settle()
    assert ([False, False, True], "") == ([*wanted, caution.unwitnessed], caution.problem)
