# SPDX-License-Identifier: Apache-2.0
"""HTTP connections to an API server: TLS, account, keep-alive, dead peers.

Promises: each request goes out with token and certificates as they are in their
files now; every way a connection can fail is `StoreUnavailable`, but for a server
whose certificate is wrong, which somebody must put right. The tricky things: a
certificate that stands in the kubeconfig itself must become a file for OpenSSL, so
it becomes one without a name; and a peer that vanished is known by TCP's probes alone.
"""

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from buoy import __version__
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store.api_config import ApiSettings
from buoy.store.api_errors import Answer

KEEP_ALIVE = 30.0
"""Seconds an unused connection is kept: a lease's renewal every 5 s, say, needs no new one."""
CONNECT = 3.0
"""Seconds a connection may take to be made: TCP itself would wait ever longer before it tries again."""
READ_BUFFER = 1 << 20
"""Bytes of a stream that wait for us before the server does: a burst is taken in few pieces."""
_PROBES: Mapping[int, int] = {
    socket.TCP_KEEPIDLE: 6,
    socket.TCP_KEEPINTVL: 2,
    socket.TCP_KEEPCNT: 3,
    # milliseconds: what was sent and is not acknowledged is not waited for much longer than a probe
    socket.TCP_USER_TIMEOUT: 12_000,
}
_ANOTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_TLS_REASON = re.compile(r"\[SSL: (\w+)\]")
_HEADERS: Mapping[str, str] = {
    "Accept": "application/json",
    # packing 17 MB of Services costs the server more than sending them
    "Accept-Encoding": "identity",
    "User-Agent": f"buoy/{__version__}",
}


class Request(NamedTuple):
    """What is asked; `path` is quoted, `query` is not."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    """What else is sent, in place of our own `Accept` and `User-Agent` too."""


class Transport:
    """Connections to one server, made when first needed, on one asyncio event loop."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._context: ssl.SSLContext | None = None
        self._files: tuple[tuple[int, ...], ...] | None = None

    async def exchange(self, request: Request, seconds: float) -> Answer:
        """Return the whole answer, whatever its status; raise `StoreUnavailable` within `seconds`, `InvalidInput`."""
        token = self._token()
        answer = await self._exchange(request, token, seconds)
        if answer.status == 401 and self._token() != token:
            # exchanged in its file meanwhile
            return await self._exchange(request, self._token(), seconds)
        return answer

    async def open(self, request: Request, seconds: float) -> aiohttp.ClientResponse:
        """Return an answer whose body is yet to be read, and to be closed; raise like `exchange`."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._send(request, self._token(), aiohttp.ClientTimeout(sock_connect=CONNECT))
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error
        return response

    async def close(self) -> None:
        """End every connection."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _exchange(self, request: Request, token: str, seconds: float) -> Answer:
        try:
            async with await self._send(
                request, token, aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT)
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error

    async def _send(self, request: Request, token: str, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, socket_factory=_probed)
            self._session = aiohttp.ClientSession(connector=connector, headers=_HEADERS, read_bufsize=READ_BUFFER)
        headers = CIMultiDict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self._session.request(
            request.method,
            URL(self._settings.server.rstrip("/") + request.path, encoded=True).with_query(request.query),
            data=request.body,
            headers=headers,
            timeout=limit,
            ssl=self._tls(),
            server_hostname=self._settings.server_name or None,
            allow_redirects=False,
        )

    def _token(self) -> str:
        content = self._settings.token.read("tokenFile")
        try:
            return content.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise InvalidInput("tokenFile", self._settings.token.file, "let it hold a bearer token alone") from error

    def _tls(self) -> ssl.SSLContext | bool:
        settings = self._settings
        if not settings.server.startswith("https://"):
            return True
        files = tuple(_stamp(secret.file) for secret in (settings.ca, settings.cert, settings.key))
        if self._context is None or files != self._files:
            self._context, self._files = _context(settings), files
        return self._context

    def _failure(self, error: Exception) -> InvalidInput | StoreUnavailable:
        server = self._settings.server
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            if getattr(error.certificate_error, "verify_code", 0) in _ANOTHER_NAME:
                remedy = (
                    f"use a name that stands in its certificate, or give tls-server-name ({error.certificate_error})"
                )
                return InvalidInput("server", server, remedy)
            remedy = f"give the CA that signed the certificate of {server} ({error.certificate_error})"
            return InvalidInput("certificate-authority", self._settings.ca.file or "(set)", remedy)
        return StoreUnavailable(f"API server {server}: {_words(error)}")


def _words(error: Exception) -> str:
    """Return what failed, for people: the library's own words name its objects."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} is not known here"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if failed := _TLS_REASON.search(str(error)):
        # OpenSSL's numbers are not the operating system's
        return f"TLS failed: {failed[1].replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "no answer in time"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNRESET or isinstance(error, ConnectionResetError | aiohttp.ServerDisconnectedError):
        return "it ended the connection"
    if number:
        return os.strerror(number).lower()
    return str(error) or type(error).__name__


def _context(settings: ApiSettings) -> ssl.SSLContext:
    ca = settings.ca.read("certificate-authority")
    try:
        context = ssl.create_default_context(cadata=ca.decode(errors="replace") or None)
    except ssl.SSLError as error:
        remedy = f"let it hold certificates in PEM ({error.reason or error})"
        raise InvalidInput("certificate-authority", settings.ca.file or "(set)", remedy) from error
    # as Go is: many a cluster's own authority leaves out what newer Pythons insist on
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.cert:
        with ExitStack() as stack:
            cert, key = (
                _nameless(secret.read(field), stack)
                for field, secret in (("client-certificate", settings.cert), ("client-key", settings.key))
            )
            try:
                # a password is never asked for: nobody sits here to type it
                context.load_cert_chain(cert, key, password=lambda: b"")
            except (ssl.SSLError, ValueError) as error:
                remedy = f"give a certificate and its key, in PEM and without a password ({error})"
                raise InvalidInput("client-certificate", settings.cert.file or "(set)", remedy) from error
    return context


def _nameless(content: bytes, stack: ExitStack) -> str:
    descriptor = os.memfd_create("buoy-tls")
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


def _stamp(name: str) -> tuple[int, ...]:
    try:
        stat = Path(name).stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _probed(
    info: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]],
) -> socket.socket:
    """Return a socket that finds out within about 12 s that its peer vanished."""
    family, kind, protocol, *_ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
