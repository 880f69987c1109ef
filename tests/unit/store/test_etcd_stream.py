# SPDX-License-Identifier: Apache-2.0
"""A watch stream: messages in pieces are joined, whatever ends it is an outage."""

import asyncio
from collections.abc import Callable
from typing import cast

import grpc
import pytest

from buoy.model.errors import StoreUnavailable
from buoy.store import etcd_stream
from buoy.store.etcd_stream import WatchStream
from buoy.store.proto import etcd_pb2 as pb


class Channel:
    """A channel whose one call is told what to read and remembers what was written."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[object] = asyncio.Queue()
        self.written: list[pb.WatchRequest] = []
        self.closed = False

    def stream_stream(self, *_: object, **__: object) -> Callable[..., "Channel"]:
        return lambda metadata: self

    async def read(self) -> object:
        said = await self.said.get()
        if isinstance(said, BaseException):
            raise said
        return said

    async def write(self, request: pb.WatchRequest) -> None:
        self.written.append(request)

    async def close(self) -> None:
        self.closed = True


async def started(channel: Channel) -> WatchStream:
    stream = WatchStream(cast("grpc.aio.Channel", channel))
    await stream.start(())
    return stream


def message(*keys: bytes, fragment: bool = False) -> pb.WatchResponse:
    return pb.WatchResponse(watch_id=1, fragment=fragment, events=[pb.Event(kv=pb.KeyValue(key=key)) for key in keys])


async def test_a_message_in_pieces_is_one() -> None:
    channel = Channel()
    stream = await started(channel)
    for piece in (message(b"a", fragment=True), message(b"b", fragment=True), message(b"c"), message(b"d")):
        channel.said.put_nowait(piece)
    assert [event.kv.key for event in (await stream.receive()).events] == [b"a", b"b", b"c"]
    assert [event.kv.key for event in (await stream.receive()).events] == [b"d"]


async def test_a_server_that_says_nothing_at_first_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_stream, "DEADLINE", 0.01)
    stream = await started(Channel())
    with pytest.raises(StoreUnavailable, match="not answered"):
        await stream.receive_first()


async def test_a_stream_the_server_ends_is_unavailable() -> None:
    channel = Channel()
    stream = await started(channel)
    channel.said.put_nowait(grpc.aio.EOF)
    with pytest.raises(StoreUnavailable, match="ended"):
        await stream.receive()


async def test_a_stream_the_server_cancels_is_unavailable_and_does_not_cancel_us() -> None:
    channel = Channel()
    stream = await started(channel)
    # gRPC raises what a cancelled task would
    channel.said.put_nowait(asyncio.CancelledError())
    with pytest.raises(StoreUnavailable, match="cancelled"):
        await stream.receive()


async def test_who_waits_for_a_message_may_be_cancelled() -> None:
    waiting = asyncio.create_task((await started(Channel())).receive())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_messages_may_be_split_by_the_server_and_progress_is_told() -> None:
    channel = Channel()
    await (await started(channel)).create(b"/buoy/v1/", 7)
    create = channel.written[0].create_request
    assert (create.key, create.range_end, create.start_revision) == (b"/buoy/v1/", b"/buoy/v10", 7)
    assert (create.fragment, create.progress_notify) == (True, True)


async def test_closing_ends_the_connection() -> None:
    channel = Channel()
    await (await started(channel)).close()
    assert channel.closed
