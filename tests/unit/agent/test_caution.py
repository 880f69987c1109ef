# SPDX-License-Identifier: Apache-2.0
"""A doubt once raised stays until a person releases it, or until nothing at all waits for it."""

from pathlib import Path

import pytest

from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.model.address import Address
from buoy.model.nodestate import Change, Dnat, Key, Phase, Step, Table
from buoy.model.snapshot import Identity
from buoy.planner.plan import Plan

REMOVAL = Step(Phase.SWEEP, Change(Key(Table.DNAT, ("198.51.100.7",)), Dnat(Address("192.0.2.7")), None))


@pytest.fixture
def caution(tmp_path: Path) -> Caution:
    kept = Kept(str(tmp_path / "store.json"))
    kept.keep(Identity("a1", 10))
    return Caution(kept)


def test_a_store_that_went_back_is_doubted_and_one_that_goes_on_is_not(caution: Caution) -> None:
    assert (True, False) == (caution.doubts(Identity("a1", 9)), caution.doubts(Identity("a1", 11)))


def test_a_doubt_outlives_the_revision_that_overtakes_it_until_it_is_released(caution: Caution) -> None:
    held = [caution.judge(Plan((REMOVAL,)), Identity("a1", revision), whole=True).held for revision in (9, 11)]
    assert [(REMOVAL,), (REMOVAL,)] == held
    caution.release(Identity("a1", 11))
    assert () == caution.judge(Plan((REMOVAL,)), Identity("a1", 12), whole=True).held


def test_a_doubt_outlives_the_agent(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    Kept(path).keep(Identity("a1", 10))
    Caution(Kept(path)).judge(Plan((REMOVAL,)), Identity("a1", 9), whole=True)
    again = Caution(Kept(path))
    assert (REMOVAL,) == again.judge(Plan((REMOVAL,)), Identity("a1", 11), whole=True).held
    again.release(Identity("a1", 12))
    assert "" == Caution(Kept(path)).cause


@pytest.mark.parametrize(("whole", "doubted"), [(True, False), (False, True)])
def test_a_doubt_ends_by_itself_only_when_nothing_else_waits(caution: Caution, *, whole: bool, doubted: bool) -> None:
    caution.judge(Plan(), Identity("a1", 9), whole=whole)
    assert doubted == caution.doubts(Identity("a1", 11))


def test_what_is_believed_is_there_for_the_next_agent(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    caution = Caution(Kept(path))
    caution.judge(Plan(), Identity("a1", 3), whole=True)
    caution.judge(Plan(), Identity("a1", 4), whole=True)
    caution.settle()
    assert Kept(path).identity == Identity("a1", 4)
