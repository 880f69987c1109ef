# SPDX-License-Identifier: Apache-2.0
"""One watch of etcd on a stream of its own, fragments joined.

Promises: every failure of the stream is `StoreUnavailable`. gRPC ends a call whose
read is cancelled, so nothing is waited for with a limit but the first message. The
tricky thing: it also says that a read was cancelled when it was the server's doing.
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

    async def start(self, metadata: Metadata) -> None:
        """Begin the stream; an etcd member without a leader will end it instead of staying silent."""
        stub = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        self._call = stub(metadata=(*metadata, ("hasleader", "true")))

    async def create(self, key: bytes, revision: int) -> None:
        """Ask for every event of the keys that begin with `key`, from `revision` on."""
        create = pb.WatchCreateRequest(
            key=key,
            range_end=range_end(key),
            start_revision=revision,
            progress_notify=True,
            fragment=True,
        )
        await self._write(pb.WatchRequest(create_request=create))

    async def receive(self) -> pb.WatchResponse:
        """Return the next message, whole."""
        response = await self._next()
        while response.fragment:
            rest = await self._next()
            response.events.extend(rest.events)
            response.fragment = rest.fragment
        return response

    async def receive_first(self) -> pb.WatchResponse:
        """Return the first message; raise `StoreUnavailable` if the server is silent."""
        try:
            return await asyncio.wait_for(self.receive(), DEADLINE)
        except TimeoutError:
            raise StoreUnavailable("the watch was not answered") from None

    async def close(self) -> None:
        """End the stream and its connection."""
        await self._channel.close()

    async def _next(self) -> pb.WatchResponse:
        assert self._call is not None
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise StoreUnavailable(f"watch: {error.details() or error.code().name}") from None
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            raise StoreUnavailable("the watch was cancelled") from None
        if not isinstance(response, pb.WatchResponse):
            raise StoreUnavailable("watch: the server ended it")
        return response

    async def _write(self, request: pb.WatchRequest) -> None:
        assert self._call is not None
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise StoreUnavailable(f"watch: {error}") from None
