# SPDX-License-Identifier: Apache-2.0
"""One watch stream of etcd: several watches over one channel, fragments joined.

Promises: every failure of the stream is `StoreUnavailable`. The tricky thing is
waiting with a limit: gRPC ends a call whose read is cancelled, so a read goes on in
a task of its own and is waited for again next time.
"""

import asyncio

import grpc
from google.protobuf.message import Message

from buoy.model.errors import StoreUnavailable
from buoy.store.etcd_channel import DEADLINE, Metadata
from buoy.store.etcd_listing import range_end
from buoy.store.proto import etcd_pb2 as pb


class WatchStream:
    """A bidirectional stream on a channel it owns."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._call: grpc.aio.StreamStreamCall[Message, pb.WatchResponse] | None = None
        self._reading: asyncio.Task[pb.WatchResponse] | None = None

    async def start(self, metadata: Metadata) -> None:
        """Begin the stream; an etcd member without a leader will end it instead of staying silent."""
        stub = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        self._call = stub(metadata=(*metadata, ("hasleader", "true")))

    async def create(self, watch_id: int, key: bytes, revision: int) -> None:
        """Ask for every event of the keys that begin with `key`, from `revision` on."""
        create = pb.WatchCreateRequest(
            watch_id=watch_id,
            key=key,
            range_end=range_end(key),
            start_revision=revision,
            progress_notify=True,
            fragment=True,
        )
        await self._write(pb.WatchRequest(create_request=create))

    async def ask_progress(self) -> None:
        """Ask how far everything has been told."""
        await self._write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def receive(self) -> pb.WatchResponse:
        """Return the next message, whole."""
        response = await self._finish(self._read())
        while response.fragment:
            rest = await self._finish(self._read())
            response.events.extend(rest.events)
            response.fragment = rest.fragment
        return response

    async def receive_within(self, seconds: float) -> pb.WatchResponse | None:
        """Return the next message, or None if it does not begin in time."""
        await asyncio.wait((self._read(),), timeout=seconds)
        return await self.receive() if self._read().done() else None

    async def receive_first(self) -> pb.WatchResponse:
        """Return the first message; raise `StoreUnavailable` if the server is silent."""
        response = await self.receive_within(DEADLINE)
        if response is None:
            raise StoreUnavailable("the watch was not answered")
        return response

    async def close(self) -> None:
        """End the stream and its connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
            if not self._reading.cancelled():
                self._reading.exception()
        await self._channel.close()

    def _read(self) -> asyncio.Task[pb.WatchResponse]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._next(), name="etcd watch")
        return self._reading

    async def _finish(self, reading: asyncio.Task[pb.WatchResponse]) -> pb.WatchResponse:
        await asyncio.wait((reading,))
        self._reading = None
        if reading.cancelled():
            raise StoreUnavailable("the watch was cancelled")
        return reading.result()

    async def _next(self) -> pb.WatchResponse:
        assert self._call is not None
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise StoreUnavailable(f"watch: {error.details() or error.code().name}") from None
        if not isinstance(response, pb.WatchResponse):
            raise StoreUnavailable("watch: the server ended it")
        return response

    async def _write(self, request: pb.WatchRequest) -> None:
        assert self._call is not None
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise StoreUnavailable(f"watch: {error}") from None
