# SPDX-License-Identifier: Apache-2.0
"""What etcd holds, large, changing while it is read, or written by a broken client."""

import asyncio
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from buoy.store import etcd_listing
from buoy.store.etcd import EtcdStore
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings
from tests.store.watching import Watching, gone, put, texts

Connect = Callable[[StoreSettings], EtcdStore]


async def test_ten_thousand_documents_are_listed_in_pages_at_one_revision(
    shared_settings: StoreSettings, connect: Connect
) -> None:
    store = connect(shared_settings)
    for first in range(0, 10_000, 100):
        revision = await store.write([put(f"{number:05}") for number in range(first, first + 100)])
    async with Watching(store) as watching:
        batch = await watching.next()
        assert len(batch.snapshot.documents) == 10_000
        assert batch.snapshot.identity.revision == revision
        await store.write([gone("00000")])
        assert (await watching.next()).changed == frozenset({"pools/00000"})


async def test_what_is_written_while_pages_are_read_comes_after_the_listing(
    shared_settings: StoreSettings, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_listing, "PAGE", 1)
    writer, reader = connect(shared_settings), connect(shared_settings)
    await writer.write([put("a"), put("b")])
    call = reader._connection.call

    async def call_and_write(
        method: str, request: Message, reply: type[pb.RangeResponse], deadline: float = 2
    ) -> pb.RangeResponse:
        answer = await call(method, request, reply, deadline)
        await writer.write([gone("b"), put("c")])
        return answer

    monkeypatch.setattr(reader._connection, "call", call_and_write)
    async with Watching(reader) as watching:
        assert texts(await watching.next()) == {"a": "", "b": ""}
        monkeypatch.setattr(reader._connection, "call", call)
        batch, changed = await watching.until(lambda batch: "c" in texts(batch))
        assert (changed, texts(batch)) == (frozenset({"pools/b", "pools/c"}), {"a": "", "c": ""})


async def test_a_transaction_larger_than_one_message_is_told_whole(
    shared_settings: StoreSettings, connect: Connect
) -> None:
    store = connect(shared_settings)
    long = "x" * 100_000
    async with Watching(store, ["pools/", "members/"]) as watching:
        await watching.next()
        await asyncio.gather(*(store.write([put(f"{n}-{m}", long) for m in range(10)]) for n in range(5)))
        batch, changed = await watching.until(lambda batch: len(batch.snapshot.documents) == 50)
        assert len(changed) == 50
        assert set(texts(batch).values()) == {long}


async def test_a_document_no_store_takes_is_refused_with_its_path(
    shared_settings: StoreSettings, connect: Connect
) -> None:
    store = connect(shared_settings)
    with pytest.raises(ValueError, match="pools/large"):
        await store.write([put("large", "x" * 2_000_000)])


async def test_what_a_broken_client_wrote_is_told_and_the_rest_goes_on(
    shared_settings: StoreSettings, connect: Connect
) -> None:
    store = connect(shared_settings)
    await store.write([put("a", "readable")])
    async with Watching(store) as watching:
        await watching.next()
        for path, raw in (("pools/a", b"{"), ("pools/b", b'{"name": 7}'), ("pools/\xff".encode("latin-1"), b"")):
            key = shared_settings.prefix.encode() + (path.encode() if isinstance(path, str) else path)
            await store._connection.call("KV/Put", pb.PutRequest(key=key, value=raw), pb.PutResponse)
        await store.write([put("c")])
        batch, changed = await watching.until(lambda batch: "c" in texts(batch))
        assert changed == frozenset({"pools/a", "pools/b", "pools/\\xff", "pools/c"})
        assert texts(batch) == {"a": "readable", "c": ""}
        assert set(batch.snapshot.broken) == {"pools/a", "pools/b", "pools/\\xff"}
        assert "name" in batch.snapshot.broken["pools/b"]
