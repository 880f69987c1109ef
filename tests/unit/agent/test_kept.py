# SPDX-License-Identifier: Apache-2.0
"""What is believed survives the agent; a torn file is as good as none."""

from pathlib import Path

import pytest

from buoy.agent.kept import Kept
from buoy.model.nodestate import Key, Table
from buoy.model.snapshot import Identity
from buoy.planner.belief import Belief

DOUBTFUL = {Key(Table.NEIGHBOUR, ("tap1", "192.0.2.1")): "workloads/n1/port", Key(Table.DNAT, ("198.51.100.7",)): ""}


def heard(store: str, revision: int) -> Belief:
    return Belief(Identity(store, revision))


@pytest.mark.parametrize(
    "belief",
    [
        heard("a1", 7),
        Belief(Identity("a1", 7, 5)),
        Belief(Identity("a1", 7, 5), "store b2 speaks, a1 was believed last"),
        Belief(Identity("a1", 7, 5), "store b2 speaks, a1 was believed last", {}),
        Belief(Identity("a1", 7, 5), "store b2 speaks, a1 was believed last", DOUBTFUL),
    ],
)
def test_a_belief_is_there_for_the_next_agent(tmp_path: Path, belief: Belief) -> None:
    path = str(tmp_path / "state" / "store.json")
    Kept(path).keep(belief)
    assert belief == Kept(path).belief


def test_what_an_earlier_version_kept_is_read(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    path.write_text('{"store": "a1", "revision": 7, "doubt": "it went back"}')
    assert Belief(Identity("a1", 7), "it went back") == Kept(str(path)).belief


@pytest.mark.parametrize(("boot", "rebooted"), [("", False), ("7f3c", True)])
def test_a_boot_since_is_known_until_this_node_has_looked(tmp_path: Path, boot: str, *, rebooted: bool) -> None:
    path = tmp_path / "store.json"
    path.write_text(f'{{"store": "a1", "revision": 7, "boot": "{boot}"}}')
    for believed in (heard("a1", 7), heard("a1", 8)):
        # an agent that is ended before its first pass
        kept = Kept(str(path))
        assert (rebooted, believed) == (kept.rebooted, kept.belief)
        kept.keep(heard("a1", 8))
        kept.settle()
    kept.looked()
    kept.settle()
    again = Kept(str(path))
    assert (False, heard("a1", 8)) == (again.rebooted, again.belief)


def test_small_steps_stay_in_memory_and_large_ones_reach_the_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path, stride=10)
    kept.keep(heard("a1", 1))
    kept.keep(heard("a1", 9))
    assert (heard("a1", 9), heard("a1", 1)) == (kept.belief, Kept(path).belief)
    kept.keep(heard("a1", 25))
    assert heard("a1", 25) == Kept(path).belief


def test_what_small_steps_left_in_memory_is_settled_for_the_next_agent(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path)
    kept.keep(heard("a1", 1))
    kept.keep(heard("a1", 9))
    kept.settle()
    assert heard("a1", 9) == Kept(path).belief


def test_another_store_and_another_doubt_reach_the_disk_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path)
    kept.keep(heard("a1", 5))
    back = Identity("b2", 6)
    for belief in (heard("b2", 6), Belief(back, "it went back"), Belief(back, "it went back", DOUBTFUL), Belief(back)):
        kept.keep(belief)
        assert belief == Kept(path).belief


def test_a_torn_file_is_no_belief(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    path.write_text('{"store": "a')
    assert Belief() == Kept(str(path)).belief


def test_nothing_heard_is_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    kept = Kept(str(path))
    kept.keep(Belief())
    assert (False, Belief()) == (path.exists(), kept.belief)


def test_a_disk_that_takes_nothing_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    path, obstacle = str(tmp_path / "store.json"), tmp_path / "store.new"
    obstacle.mkdir()
    kept, belief = Kept(path, stride=1), Belief(Identity("a1", 1), "store b2 speaks, a1 was believed last")
    kept.keep(belief)
    kept.settle()
    assert (belief, True, False) == (kept.belief, "free space" in kept.problem, kept.knows_cause)
    obstacle.rmdir()
    kept.settle()
    assert ("", belief, True) == (kept.problem, Kept(path).belief, kept.knows_cause)
