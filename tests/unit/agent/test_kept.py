"""The store's identity survives the agent; a torn file is as good as none."""

from pathlib import Path

from buoy.agent.kept import Kept
from buoy.model.snapshot import Identity


def test_an_identity_is_there_for_the_next_agent(tmp_path: Path) -> None:
    path = str(tmp_path / "state" / "store.json")
    Kept(path).keep(Identity("a1", 7))
    assert Kept(path).identity == Identity("a1", 7)


def test_small_steps_stay_in_memory_and_large_ones_reach_the_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path, stride=10)
    kept.keep(Identity("a1", 1))
    kept.keep(Identity("a1", 9))
    assert (kept.identity, Kept(path).identity) == (Identity("a1", 9), Identity("a1", 1))
    kept.keep(Identity("a1", 25))
    assert Kept(path).identity == Identity("a1", 25)


def test_what_small_steps_left_in_memory_is_settled_for_the_next_agent(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path)
    kept.keep(Identity("a1", 1))
    kept.keep(Identity("a1", 9))
    kept.settle()
    assert Kept(path).identity == Identity("a1", 9)


def test_another_store_reaches_the_disk_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "store.json")
    kept = Kept(path)
    kept.keep(Identity("a1", 5))
    kept.keep(Identity("b2", 6))
    assert Kept(path).identity == Identity("b2", 6)


def test_a_torn_file_is_no_identity(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    path.write_text('{"store": "a')
    assert Kept(str(path)).identity is None


def test_a_disk_that_takes_nothing_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    path, obstacle = str(tmp_path / "store.json"), tmp_path / "store.new"
    obstacle.mkdir()
    kept = Kept(path, stride=1)
    kept.keep(Identity("a1", 1))
    kept.keep_doubt("store b2 speaks, a1 was believed last")
    kept.settle()
    assert (Identity("a1", 1), True) == (kept.identity, "free space" in kept.problem)
    obstacle.rmdir()
    kept.settle()
    after = Kept(path)
    assert ("", Identity("a1", 1), kept.doubt) == (kept.problem, after.identity, after.doubt)
