# SPDX-License-Identifier: Apache-2.0
"""Statuses reach the store, also after an outage, and what is said no more is deleted."""

import asyncio
from collections.abc import Sequence

import pytest

from buoy.agent.reports import Reports
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.status import AddressStatus, State
from buoy.store.memory import MemoryStore
from buoy.store.store import Write

NODE = "compute-1"


def status(number: int, state: State = State.ACTIVE) -> AddressStatus:
    return AddressStatus(node=NODE, address=Address(f"198.51.100.{number}"), state=state)


def written(reports: Reports) -> None:
    """Let the reports write until the store has the truth."""
    asyncio.run(asyncio.wait_for(_until_written(reports), 10))


async def _until_written(reports: Reports) -> None:
    task = asyncio.create_task(reports.run())
    await _settled(reports)
    task.cancel()


async def _settled(reports: Reports) -> None:
    for _ in range(1000):
        if not _waits(reports):
            return
        await asyncio.sleep(0.01)


def _waits(reports: Reports) -> bool:
    return reports.waiting


def held(store: MemoryStore) -> set[str]:
    """Return the paths that are in the store."""

    async def listed() -> set[str]:
        watch = store.watch(("status/",))
        batch = await anext(watch)
        return set(batch.snapshot.documents)

    return asyncio.run(listed())


def test_a_status_is_written_and_one_that_is_no_news_is_not() -> None:
    store = MemoryStore()
    reports = Reports(store)
    reports.say(status(1))
    written(reports)
    assert {"status/compute-1/address/198.51.100.1"} == held(store)
    reports.say(status(1))
    assert not _waits(reports)


def test_what_a_former_agent_said_stands_until_this_one_has_looked_and_says_nothing_of_it() -> None:
    store = MemoryStore()
    path = documents.path(status(9))
    asyncio.run(store.write([Write(path, status(9))]))
    reports = Reports(store)
    reports.heard({path: status(9)}, complete=True)
    reports.say(status(1))
    written(reports)
    assert {path, documents.path(status(1))} == held(store)
    reports.looked()
    written(reports)
    assert {documents.path(status(1))} == held(store)


def test_what_a_former_agent_said_and_this_one_says_too_is_no_news() -> None:
    reports = Reports(MemoryStore())
    reports.heard({documents.path(status(9)): status(9)}, complete=True)
    reports.say(status(9))
    reports.looked()
    assert not _waits(reports)


def test_an_outage_delays_reports_and_loses_none() -> None:
    store = MemoryStore()
    reports = Reports(store)
    store.away = True
    reports.say(status(1))
    reports.say(status(2))

    async def story() -> None:
        task = asyncio.create_task(reports.run())
        await asyncio.sleep(0.05)
        assert _waits(reports)
        reports.forget(documents.path(status(2)))
        store.away = False
        await _settled(reports)
        task.cancel()

    asyncio.run(asyncio.wait_for(story(), 10))
    assert {"status/compute-1/address/198.51.100.1"} == held(store)


def test_more_than_one_transaction_takes_is_written_in_several() -> None:
    store = MemoryStore()
    reports = Reports(store)
    for number in range(1, 251):
        reports.say(status(number))
    written(reports)
    assert 250 == len(held(store))


def test_what_another_hand_changed_is_put_right() -> None:
    store = MemoryStore()
    reports = Reports(store)
    reports.say(status(1))
    written(reports)
    reports.heard({documents.path(status(1)): status(1, State.DOWN)})
    assert _waits(reports)


class Refusing:
    """A store whose account may not write, until it may."""

    def __init__(self) -> None:
        self.refusals = 2

    async def write(self, writes: Sequence[Write]) -> int:
        self.refusals -= 1
        if self.refusals >= 0:
            raise InvalidInput("username", "agent", "give it the role")
        return len(writes)


def test_a_refusal_to_the_account_is_told_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buoy.agent.reports._PAUSE", 0.01)
    told: list[str] = []
    reports = Reports(Refusing(), lambda error: told.append(error.field))  # type: ignore[arg-type]  # it is only written
    reports.say(status(1))
    written(reports)
    assert (["username"], False) == (told, reports.waiting)
