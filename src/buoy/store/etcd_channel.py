# SPDX-License-Identifier: Apache-2.0
"""One connection to an etcd cluster: endpoints, TLS, account, deadlines, errors in our words.

Promises: a call answers, or raises, within its deadline; certificate and password
files that change are used from the next call on; an expired token is renewed
unseen. The tricky thing is a gRPC channel that has failed: it waits before it
dials again, so it is thrown away instead, and the next endpoint is tried.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from buoy.model.errors import BuoyError, Conflict, InvalidInput, StoreUnavailable
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings

DEADLINE = 2.0
"""Seconds a call may take, over all endpoints."""

_OPTIONS: Mapping[str, int] = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # etcd refuses clients that ping more often than every 5 s
    "grpc.keepalive_time_ms": 6_000,
    "grpc.keepalive_timeout_ms": 2_000,
    # a ping unanswered is judged by this one, a minute by default, and not by the line above
    "grpc.http2.ping_timeout_ms": 2_000,
    "grpc.http2.max_pings_without_data": 0,
    # a channel of its own: a shared one would hand on another's waiting before the next dial
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    "grpc.enable_http_proxy": 0,
}
_STALE = ("invalid auth token", "user name is empty", "revision of auth store is old")
_UNREACHED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Reply = TypeVar("Reply", bound=Message)
Metadata = tuple[tuple[str, str], ...]


class Connection:
    """Calls to one cluster; `open` gives a watch a channel of its own."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._endpoint = 0
        self._channel: grpc.aio.Channel | None = None
        self._files: tuple[tuple[int, ...], ...] = ()
        self._token: str | None = None
        self._authenticating = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self._settings.endpoints[self._endpoint]

    async def call(self, method: str, request: Message, reply: type[Reply], deadline: float = DEADLINE) -> Reply:
        """Return the answer of a method such as ``KV/Range``.

        Raises `StoreUnavailable`, `Conflict` for what is gone or already there, `InvalidInput`
        for what etcd refuses for good, missing rights included.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + deadline
        untried = len(self._settings.endpoints)
        renewable = True
        while True:
            unasked = not self._token
            try:
                return await self._once(method, request, reply, (until - clock()) / untried)
            except grpc.aio.AioRpcError as error:
                if renewable and self._is_stale(error, unasked=unasked):
                    renewable = False
                    self._token = None
                    continue
                untried -= 1
                if error.code() not in _UNREACHED or untried == 0 or clock() >= until:
                    raise self.translate(error) from None

    def open(self) -> grpc.aio.Channel:
        """Return a new channel to the endpoint in use, with the certificates as they are now on disk."""
        target, options = self._settings.targets[self._endpoint], list(_OPTIONS.items())
        if not self._settings.secure:
            return grpc.aio.insecure_channel(target, options=options)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_content("ca", self._settings.ca),
            private_key=_content("key", self._settings.key),
            certificate_chain=_content("cert", self._settings.cert),
        )
        return grpc.aio.secure_channel(target, credentials, options=options)

    async def metadata(self) -> Metadata:
        """Return what identifies us in a call; raise like `call`."""
        if not self._settings.username:
            return ()
        async with self._authenticating:
            if self._token is None:
                self._token = await self._authenticate()
        return (("token", self._token),) if self._token else ()

    def _is_stale(self, error: grpc.aio.AioRpcError, *, unasked: bool) -> bool:
        """Tell whether a new token may help; `unasked`: we had none, for the cluster asked for no account then.

        Without one etcd takes us for whom our certificate names, and that one need not have an account.
        """
        if any(text in (error.details() or "") for text in _STALE):
            return True
        return unasked and bool(self._settings.username) and error.code() is grpc.StatusCode.PERMISSION_DENIED

    def translate(self, error: grpc.aio.AioRpcError) -> BuoyError:
        """Return etcd's error as one of ours, in words that say what to do."""
        text = f"{self.endpoint}: {error.details() or error.code().name}"
        match error.code():
            case grpc.StatusCode.PERMISSION_DENIED:
                remedy = f"this account may not do this ({text}): give it the role, or use the right account"
                return InvalidInput("username", self._settings.username, remedy)
            case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.UNAUTHENTICATED:
                if "auth" in text or "user name" in text:
                    what = "check" if self._settings.username else "etcd asks for accounts: in [store], give"
                    remedy = f"{what} username and password_file ({text})"
                    return InvalidInput("username", self._settings.username, remedy)
                return InvalidInput("request", text, "write smaller documents, or fewer at once")
            case grpc.StatusCode.NOT_FOUND | grpc.StatusCode.FAILED_PRECONDITION:
                return Conflict(text)
        return StoreUnavailable(text)

    async def close(self) -> None:
        """End every connection."""
        self._drop(self._channel, grace=0)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _once(self, method: str, request: Message, reply: type[Reply], seconds: float) -> Reply:
        metadata = () if reply is pb.AuthenticateResponse else await self.metadata()
        channel = self._current()
        stub = channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        try:
            return await stub(request, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNREACHED and channel is self._channel:
                self._drop(channel)
                self._endpoint = (self._endpoint + 1) % len(self._settings.endpoints)
            raise

    async def _authenticate(self) -> str:
        password = (_content("password_file", self._settings.password_file) or b"").decode().rstrip("\n")
        request = pb.AuthenticateRequest(name=self._settings.username, password=password)
        try:
            return (await self.call("Auth/Authenticate", request, pb.AuthenticateResponse)).token
        except Conflict:
            # "authentication is not enabled": an account prepared before the cluster asks for it
            return ""

    def _current(self) -> grpc.aio.Channel:
        files = tuple(_stamp(name) for name in (self._settings.ca, self._settings.cert, self._settings.key) if name)
        if self._channel is not None and files != self._files:
            self._drop(self._channel)
        if self._channel is None:
            self._files, self._channel = files, self.open()
        return self._channel

    def _drop(self, channel: grpc.aio.Channel | None, grace: float = DEADLINE) -> None:
        if channel is None:
            return
        self._channel = None
        # others' calls on it may still be answered
        task = asyncio.get_running_loop().create_task(channel.close(grace))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _stamp(name: str) -> tuple[int, ...]:
    try:
        stat = Path(name).stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _content(field: str, name: str) -> bytes | None:
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InvalidInput(field, name, f"make it a file this process can read ({error.strerror})") from error
