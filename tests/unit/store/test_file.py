# SPDX-License-Identifier: Apache-2.0
"""The file store: edited by hand, followed while it runs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.node import Node
from buoy.model.peer import Peer
from buoy.model.snapshot import Batch
from buoy.planner.belief import setback
from buoy.store.file import FileStore
from buoy.store.store import Write
from buoy.store.yaml_documents import dump
from tests.store.watching import Reports


def peer(name: str, asn: int = 64500) -> Peer:
    return Peer(name=name, address=Address("192.0.2.1"), asn=asn)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "peers.yaml"
    made.write_text(dump([peer("a"), peer("b")]))
    return made


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
async def store(file: Path, reports: Reports) -> AsyncIterator[FileStore]:
    made = FileStore(file, reports)
    yield made
    await made.close()


@pytest.fixture
async def batches(store: FileStore) -> AsyncIterator[AsyncGenerator[Batch, None]]:
    made = cast("AsyncGenerator[Batch, None]", store.watch([""]))
    yield made
    await made.aclose()


async def test_an_edited_file_is_told_as_its_difference(batches: AsyncGenerator[Batch, None], file: Path) -> None:
    first = await anext(batches)
    assert (first.changed, set(first.snapshot.documents)) == (None, {"peers/a", "peers/b"})
    file.write_text(dump([peer("a", 64501), peer("c")]))
    second = await anext(batches)
    assert second.changed == frozenset({"peers/a", "peers/b", "peers/c"})
    assert dict(second.snapshot.documents) == {"peers/a": peer("a", 64501), "peers/c": peer("c")}


async def test_files_read_anew_are_no_store_set_back(
    batches: AsyncGenerator[Batch, None], store: FileStore, file: Path
) -> None:
    said = Node(name="n1")
    await store.write([Write("nodes/n1", said)])
    before = (await anext(batches)).snapshot.identity
    file.write_text(dump([peer("a")]))
    again = FileStore(file)
    after = (await anext(again.watch([""]))).snapshot.identity
    await again.close()
    assert ("", before) == (setback(after, before), after)


async def test_a_file_that_cannot_be_read_leaves_the_last_state_in_force(
    batches: AsyncGenerator[Batch, None], file: Path, reports: Reports
) -> None:
    await anext(batches)
    file.write_text("- kind: Peer\n  name: a\n  asn: many\n")
    later = asyncio.ensure_future(anext(batches))
    await reports.heard(1)
    assert "peers.yaml document 1" in str(reports.all[0])
    file.write_text(dump([peer("a")]))
    batch = await later
    assert batch.changed == frozenset({"peers/b"})
    assert reports.all[-1] is None


async def test_a_file_removed_is_reported_and_removes_nothing(
    batches: AsyncGenerator[Batch, None], store: FileStore, file: Path, reports: Reports
) -> None:
    await anext(batches)
    file.unlink()
    await reports.heard(1)
    assert (await store.read("peers/a")).document == peer("a")


def test_an_unreadable_file_is_refused_at_the_start(file: Path) -> None:
    file.write_text("kind: Pear")
    with pytest.raises(InvalidInput, match="Pear"):
        FileStore(file)


async def test_wishes_are_changed_in_the_file_only(store: FileStore, file: Path) -> None:
    with pytest.raises(InvalidInput, match=f"edit {file}"):
        await store.write([Write("peers/a", None)])


async def test_what_an_agent_says_of_itself_is_kept_while_it_runs(store: FileStore) -> None:
    await store.write([Write("nodes/compute-1", Node(name="compute-1"))], await store.leases.grant(10))
    assert (await store.read("nodes/compute-1")).document == Node(name="compute-1")
