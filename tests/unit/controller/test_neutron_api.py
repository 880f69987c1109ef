# SPDX-License-Identifier: Apache-2.0
"""Neutron as it answers over HTTP: a token that is none, or an answer of somebody else, is like its absence."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buoy.controller.neutron_api import NeutronApi, NeutronSettings
from buoy.controller.neutron_ports import NeutronAway


class Server:
    """Answers every request alike; `requests` are the heads of those that came."""

    def __init__(self, answer: bytes) -> None:
        self.requests: list[bytes] = []
        self._answer = answer

    @contextlib.asynccontextmanager
    async def asked(self, token_file: str = "") -> AsyncIterator[NeutronApi]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        api = NeutronApi(NeutronSettings(endpoint=f"http://127.0.0.1:{port}", token_file=token_file))
        try:
            yield api
        finally:
            await api.close()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self._answer)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self._answer)
        await writer.drain()
        writer.close()


async def test_the_token_is_the_line_that_its_file_has(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("gAAAAABk_x-y=\n")
    server = Server(b'{"ports": []}')
    async with server.asked(str(file)) as api:
        assert [] == await api.ports("uid")
    (request,) = server.requests
    assert b"X-Auth-Token: gAAAAABk_x-y=\r\n" in request


@pytest.mark.parametrize("content", [b"2026-11-21T12:00:00Z\ngAAAA\nproject\nuser\n", b"two words", b"\xff\xfe", b"\n"])
async def test_a_file_that_holds_no_token_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    server = Server(b'{"ports": []}')
    async with server.asked(str(file)) as api:
        with pytest.raises(NeutronAway, match=f"--neutron-token-file {file} holds no token"):
            await api.ports("uid")
    assert [] == server.requests


@pytest.mark.parametrize(
    "answer",
    [b"no", b"{}", b"[]", b'{"ports": 7}', b'{"ports": [{}]}', b'{"ports": [], "ports_links": [{"rel": "next"}]}'],
)
async def test_an_answer_that_is_not_neutrons_is_said(answer: bytes) -> None:
    async with Server(answer).asked() as api:
        with pytest.raises(NeutronAway, match="does not speak as Neutron does"):
            await api.ports("uid")
        with pytest.raises(NeutronAway, match="does not speak as Neutron does"):
            await api.create("uid", "spare", "subnet", [None])
