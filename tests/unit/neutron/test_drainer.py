# SPDX-License-Identifier: Apache-2.0
"""The drainer, killed at every step, against a store in memory and a table of rows."""

from collections.abc import Collection
from typing import Any

import pytest

from buoy.model.address import Prefix
from buoy.model.documents import Document, path
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.group import Member, SecurityGroup
from buoy.model.network import Network
from buoy.neutron.drainer import MOST_PATHS, Drainer, same
from buoy.neutron.reader import Wanted
from buoy.neutron.table import Taken
from buoy.store.memory import MemoryStore
from buoy.store.store import Stored, Write


class Killed(Exception):
    """The process ends here."""


class Steps:
    """Counts the drainer's calls to the world and kills it before or after one of them."""

    def __init__(self, deadly: int = -1) -> None:
        self.deadly = deadly
        self.count = 0

    def step(self) -> None:
        """One more instruction that touches the world."""
        self.count += 1
        if self.count == self.deadly:
            raise Killed


class Rows:
    """The outbox table."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.rows: dict[int, str] = {}

    def mark(self, *paths: str) -> None:
        for one in paths:
            self.rows[len(self.rows) + 1000] = one

    def take(self, most_rows: int) -> Taken:
        self.steps.step()
        taken = list(self.rows.items())[:most_rows]
        ids, paths = tuple(one for one, _ in taken), tuple(dict.fromkeys(at for _, at in taken))
        return Taken(ids, paths, more=len(taken) < len(self.rows))

    def delete(self, ids: Collection[int]) -> None:
        self.steps.step()
        for one in ids:
            del self.rows[one]
        self.steps.step()


class Database:
    """What Neutron's database says."""

    def __init__(self, steps: Steps, *documents: Document) -> None:
        self.steps = steps
        self.documents: Wanted = {path(document): document for document in documents}

    def read(self, paths: Collection[str]) -> Wanted:
        self.steps.step()
        return {at: self.documents.get(at) for at in paths}


class Killing:
    """The memory store, with a step before and after each write."""

    def __init__(self, store: MemoryStore, steps: Steps) -> None:
        self.store = store
        self.steps = steps
        self.writes: list[list[Write]] = []

    async def read(self, at: str) -> Stored:
        self.steps.step()
        return await self.store.read(at)

    async def write(self, writes: list[Write]) -> int:
        self.steps.step()
        revision = await self.store.write(writes)
        self.writes.append(writes)
        self.steps.step()
        return revision


OLD = Member(group="g", prefix=Prefix("192.0.2.1/32"))
NEW = Member(group="g", prefix=Prefix("192.0.2.2/32"))


async def world(steps: Steps) -> tuple[MemoryStore, Killing, Rows, Drainer, Database]:
    """A store that has OLD, a database that has NEW instead, and the rows that say so."""
    memory, rows = MemoryStore(), Rows(steps)
    await memory.write([Write(path(OLD), OLD)])
    store, database = Killing(memory, steps), Database(steps, NEW)
    rows.mark(path(OLD), path(NEW), path(NEW))
    return memory, store, rows, Drainer(store, rows, database.read), database  # type: ignore[arg-type]


async def contents(store: MemoryStore) -> dict[str, Document]:
    """Everything in the store."""
    watch: Any = store.watch([""])
    batch = await anext(watch)
    await watch.aclose()
    return dict(batch.snapshot.documents)


async def test_what_moved_is_written_in_one_transaction() -> None:
    memory, store, rows, drainer, _ = await world(Steps())
    assert 2 == await drainer.drain()
    assert {path(NEW): NEW} == await contents(memory)
    assert ([2], {}) == ([len(writes) for writes in store.writes], rows.rows)


async def test_killed_at_every_step_the_next_one_finishes() -> None:
    steps = Steps()
    _, _, _, drainer, _ = await world(steps)
    await drainer.drain()
    for deadly in range(1, steps.count + 1):
        dying = Steps(deadly)
        memory, _, rows, drainer, _ = await world(dying)
        with pytest.raises(Killed):
            await drainer.drain()
        assert await contents(memory) in ({path(OLD): OLD}, {path(NEW): NEW})
        await drainer.drain()
        assert ({path(NEW): NEW}, {}) == (await contents(memory), rows.rows)


async def test_an_absent_store_keeps_the_rows() -> None:
    memory, _, rows, drainer, _ = await world(Steps())
    memory.away = True
    with pytest.raises(StoreUnavailable):
        await drainer.drain()
    assert 3 == len(rows.rows)
    memory.away = False
    await drainer.drain()
    assert {path(NEW): NEW} == await contents(memory)


async def test_a_writer_with_an_older_view_loses_and_looks_again() -> None:
    memory, _, rows, _, database = await world(Steps())
    newer = Network(id="n", mtu=1400)
    at = path(newer)
    rows.mark(at)
    looks: list[int] = []

    def read(paths: Collection[str]) -> Wanted:
        looks.append(1)
        if len(looks) == 1:
            # between our look at the database and our write, another worker writes what came after
            memory.put_raw({at: b'{"id":"n","mtu":1400}'})
            return {**database.read(paths), at: Network(id="n", mtu=1500)}
        return {**database.read(paths), at: newer}

    await Drainer(memory, rows, read).drain()
    assert (newer, 2) == ((await contents(memory))[at], len(looks))


async def test_a_spoiled_document_is_overwritten_and_an_untranslatable_row_keeps_the_old_one() -> None:
    memory, _, rows, drainer, database = await world(Steps())
    memory.put_raw({path(NEW): b"{nonsense"})
    group = SecurityGroup(id="g", name="kept")
    await memory.write([Write(path(group), group)])
    database.documents[path(group)] = InvalidInput("protocol", "pigeon", "give a number")
    rows.mark(path(group))
    await drainer.drain()
    assert {path(NEW): NEW, path(group): group} == await contents(memory)


async def test_what_the_store_already_has_is_told_with_its_revision() -> None:
    memory, _, rows, _, database = await world(Steps())
    same_path = path(OLD)
    told: dict[str, int] = {}
    database.documents[same_path] = OLD
    await Drainer(memory, rows, database.read, told.update).drain()
    assert {same_path: (await memory.read(same_path)).revision} == told


async def test_rows_wait_for_an_account_that_lacks_rights() -> None:
    class Refusing:
        async def read(self, at: str) -> Stored:
            raise InvalidInput("username", "neutron", "give it the role")

    _, _, rows, _, database = await world(Steps())
    with pytest.raises(StoreUnavailable, match="give it the role"):
        await Drainer(Refusing(), rows, database.read).drain()  # type: ignore[arg-type]
    assert 3 == len(rows.rows)


async def test_more_rows_than_one_transaction_takes() -> None:
    steps = Steps()
    rows = Rows(steps)
    networks = [Network(id=f"n{number}") for number in range(MOST_PATHS + 1)]
    memory, database = MemoryStore(), Database(steps, *networks)
    rows.mark(*map(path, networks))
    assert MOST_PATHS + 1 == await Drainer(memory, rows, database.read).drain()
    assert {path(network): network for network in networks} == await contents(memory)


def test_neutrons_revision_alone_is_no_news() -> None:
    from buoy.model.service_ip import ServiceIP  # noqa: PLC0415

    one, other = (ServiceIP(address="192.0.2.1", revision=number) for number in (1, 2))  # type: ignore[arg-type]
    assert (True, False, False) == (same(one, other), same(one, None), same(OLD, NEW))
