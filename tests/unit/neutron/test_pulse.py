# SPDX-License-Identifier: Apache-2.0
"""One heartbeat for all API processes, on a store in memory."""

import pytest

from buoy.model.errors import StoreUnavailable
from buoy.model.writer import Writer
from buoy.neutron.pulse import Pulse, Rhythm
from buoy.neutron.table import Waiting
from buoy.store.memory import MemoryStore

AT = "writers/neutron"


class Worker:
    """An API process: it counts how often it did what belongs to a heartbeat."""

    def __init__(self, store: MemoryStore) -> None:
        self.beats = 0
        self.waits = Waiting(0, 0.0)
        self.pulse = Pulse(store, Rhythm(15.0, 10.0), lambda: self.waits)

    async def _count(self) -> None:
        self.beats += 1

    async def beat(self) -> bool:
        return await self.pulse.beat(self._count)


async def document(store: MemoryStore) -> Writer:
    found = (await store.read(AT)).document
    assert isinstance(found, Writer)
    return found


async def test_a_heartbeat_says_how_many_changes_wait_and_for_how_long() -> None:
    store = MemoryStore()
    one = Worker(store)
    one.waits = Waiting(3, 12.34)
    assert True is await one.beat()
    said = await document(store)
    assert (3, 12.3, 15.0, 10.0) == (said.waiting, said.oldest, said.interval, said.patience)


async def test_of_two_workers_only_one_beats_in_each_interval() -> None:
    store = MemoryStore()
    one, other = Worker(store), Worker(store)
    await one.beat()
    await other.beat()
    for _ in range(10):
        assert [True, False] == sorted([await one.beat(), await other.beat()], reverse=True)
    assert 12 == one.beats + other.beats


async def test_when_the_one_that_beats_dies_the_next_takes_over_within_two_intervals() -> None:
    store = MemoryStore()
    one, other = Worker(store), Worker(store)
    await other.beat()
    await one.beat()
    for _ in range(3):
        await other.beat()
        await one.beat()
    beaten = other.beats
    assert True in [await other.beat(), await other.beat()]
    assert beaten < other.beats


async def test_of_two_that_beat_at_once_the_loser_leaves_the_next_one_to_the_winner() -> None:
    store = MemoryStore()
    one, other = Worker(store), Worker(store)
    await one.beat()
    await one.beat()

    async def overtaken() -> None:
        await one.beat()

    assert False is await other.pulse.beat(overtaken)
    assert [True, False] == [await one.beat(), await other.beat()]


async def test_a_spoiled_document_is_written_anew_and_an_absent_store_is_said() -> None:
    store = MemoryStore()
    store.put_raw({AT: b"{nonsense"})
    one = Worker(store)
    assert True is await one.beat()
    assert "neutron" == (await document(store)).name
    store.away = True
    with pytest.raises(StoreUnavailable):
        await one.beat()


async def test_what_fails_before_it_writes_no_heartbeat() -> None:
    store = MemoryStore()
    one = Worker(store)

    async def fails() -> None:
        raise ConnectionError("the database is away")

    with pytest.raises(ConnectionError):
        await one.pulse.beat(fails)
    assert None is (await store.read(AT)).document
