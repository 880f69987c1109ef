# SPDX-License-Identifier: Apache-2.0
"""The witness is written where it stands as it was told, seldom, and never over what somebody else has written."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.agent.witness import PAUSE, Witnessing, identity, witness_path
from buoy.model import documents
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import Witness
from buoy.store.memory import MemoryStore

NODE = "compute-1"
PATH = f"status/{NODE}/witness/store"


class Life:
    """An agent's ear and its witness; `now` is its clock."""

    def __init__(self, directory: Path) -> None:
        self.store = MemoryStore()
        self.caution = Caution(Kept(str(directory / "store.json")))
        self.now = 100.0
        self.snapshot: Snapshot | None = None
        self._witnessing = Witnessing(self.store, NODE, lambda: self.now)
        self._batches: AsyncIterator[Batch] = self.store.watch(("",))

    async def hear(self) -> None:
        """Hear one batch, and rely on it."""
        batch = await anext(self._batches)
        self.snapshot = batch.snapshot
        self.caution.hear(identity(batch.snapshot, NODE), listed=batch.changed is None)
        self.caution.rely()

    async def renewed(self, seconds: float = PAUSE) -> Witness | None:
        """Let time go by and the witness be renewed; return what stands in the store then."""
        self.now += seconds
        await self._witnessing.renew(self.caution, self.snapshot)
        stored = (await self.store.read(PATH)).document
        assert stored is None or isinstance(stored, Witness)
        return stored


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def change(store: MemoryStore, name: str) -> None:
    store.put_raw({f"groups/{name}": b'{"id": "%s"}' % name.encode()})


async def test_before_the_store_has_spoken_there_is_nothing_to_witness(life: Life) -> None:
    assert None is await life.renewed()


async def test_a_node_witnesses_how_far_it_has_heard_and_not_itself(life: Life) -> None:
    await life.hear()
    assert Witness(node=NODE, revision=1) == await life.renewed()
    life.snapshot = (await anext(life._batches)).snapshot
    life.caution.hear(identity(life.snapshot, NODE), listed=False)
    before = await life.store.read(PATH)
    await life.renewed()
    assert before == await life.store.read(PATH)


async def test_many_changes_are_one_write(life: Life) -> None:
    await life.hear()
    await life.renewed()
    await life.hear()
    change(life.store, "red")
    await life.hear()
    assert 1 == getattr(await life.renewed(1.0), "revision", None)
    change(life.store, "blue")
    await life.hear()
    assert 4 == getattr(await life.renewed(PAUSE), "revision", None)


async def test_what_somebody_else_wrote_since_it_was_told_stays(life: Life) -> None:
    await life.hear()
    other = Witness(node=NODE, revision=77)
    life.store.put_raw({PATH: documents.encode(other)})
    assert other == await life.renewed()
    await life.hear()
    change(life.store, "red")
    await life.hear()
    assert 3 == getattr(await life.renewed(), "revision", None)


async def test_what_is_no_witness_is_overwritten(life: Life) -> None:
    life.store.put_raw({PATH: b"garbage"})
    await life.hear()
    assert 2 == getattr(await life.renewed(), "revision", None)


async def test_an_outage_is_for_the_watch_to_tell(life: Life) -> None:
    await life.hear()
    life.store.away = True
    life.now += PAUSE
    await life._witnessing.renew(life.caution, life.snapshot)
    life.store.away = False
    assert 1 == getattr(await life.renewed(), "revision", None)


def test_the_witness_of_another_node_is_none_of_ours() -> None:
    other = witness_path("compute-2")
    told = Snapshot(Identity("one", 9), {}, {PATH: 7, other: 8}, {})
    assert (Identity("one", 9, 7), Identity("one", 9)) == (identity(told, NODE), identity(told, "compute-3"))
