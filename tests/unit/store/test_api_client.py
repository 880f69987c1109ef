# SPDX-License-Identifier: Apache-2.0
"""Requests to an API server that is busy, silent, odd or about to exchange tokens."""

import asyncio
import socket
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
from aiohttp import web

from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store import api_transport
from buoy.store.api_client import PLACES, ApiServer
from buoy.store.api_config import ApiSettings, Secret
from buoy.store.api_errors import Throttled
from buoy.store.api_names import ObjectName, Resource, Selection
from tests.store.api.scripted import PATIENCE, THINGS, ScriptedServer, Thing, abort, answering, named

Info: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]
THING = '{"metadata":{"name":"a","namespace":"default"},"spec":{"size":1}}'


def test_paths_of_resources_and_objects() -> None:
    nodes, things = Resource("", "v1", "nodes", namespaced=False), THINGS
    assert "/api/v1/nodes/node-1/status" == nodes.at(ObjectName("", "node-1"), "status").path
    assert "/api/v1/nodes" == nodes.path("ignored")
    assert "/apis/example.org/v1/namespaces/default/things/a" == things.at(named("a")).path
    assert "/apis/example.org/v1/things" == things.path()
    assert "/apis/example.org/v1/namespaces/a%2Fb/things/c%3Fd" == things.at(ObjectName("a/b", "c?d")).path


def test_names_in_messages() -> None:
    target = THINGS.at(named("a"), "status")
    assert "things.example.org default/a (status)" == str(target)
    assert ("v1", "example.org/v1") == (Resource("", "v1", "nodes", namespaced=False).api_version, THINGS.api_version)


async def test_busy_server_is_asked_again_after_the_time_it_wants(server: ScriptedServer, api: ApiServer) -> None:
    server.next("PATCH", answering(429, "busy", "0.01"), answering(503, "busy", "0.01"), answering(200, THING))
    changed = await api.patch(THINGS.at(named("a")), {"spec": {"size": 1}}, Thing)
    assert changed is not None
    assert (1, 3) == (changed.spec.size, server.count("PATCH"))


async def test_server_that_wants_more_patience_than_there_is_is_not_asked_again(
    server: ScriptedServer, api: ApiServer
) -> None:
    server.next("PATCH", answering(429, "busy", "3600"))
    with pytest.raises(Throttled) as error:
        await api.patch(THINGS.at(named("a")), {}, Thing)
    assert (3600.0, 1) == (error.value.seconds, server.count("PATCH"))


async def test_write_that_was_not_answered_is_not_repeated(server: ScriptedServer, api: ApiServer) -> None:
    async def lose(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        abort(response)
        return response

    server.next("POST", lose, answering(201, THING))
    with pytest.raises(StoreUnavailable):
        await api.create(THINGS, "default", {}, Thing)
    assert 1 == server.count("POST")


async def test_silent_server_is_given_up(
    server: ScriptedServer, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(PATIENCE)
        return web.Response()

    monkeypatch.setattr(ApiServer.call, "__defaults__", (0.05,))
    server.next("GET", silent)
    with pytest.raises(StoreUnavailable, match=r"in time|no answer"):
        await api.get(THINGS.at(named("a")), Thing)


async def test_no_more_than_so_many_calls_at_once(server: ScriptedServer, api: ApiServer) -> None:
    going, most = 0, 0
    enough = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal going, most
        going += 1
        most = max(most, going)
        if going == PLACES:
            enough.set()
        await asyncio.wait_for(enough.wait(), PATIENCE)
        going -= 1
        return web.Response(text=THING)

    server.next("GET", *[slow] * 3 * PLACES)
    await asyncio.gather(*(api.get(THINGS.at(named("a")), Thing) for _ in range(3 * PLACES)))
    assert PLACES == most


async def test_token_exchanged_while_it_was_asked_for_is_taken(server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    async def exchange(request: web.Request) -> web.StreamResponse:
        file.write_text("new\n")
        return web.Response(status=401)

    server.next("GET", exchange, answering(200, THING))
    api = ApiServer(server.settings(token_file=str(file)))
    assert await api.get(THINGS.at(named("a")), Thing)
    await api.close()
    assert 2 == server.count("GET")


@pytest.mark.parametrize(("content", "remedy"), [(None, "No such file"), ("a\nb\u2713", "bearer token alone")])
async def test_token_that_cannot_be_used_is_named(
    server: ScriptedServer, tmp_path: Path, content: str | None, remedy: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    api = ApiServer(server.settings(token_file=str(file)))
    with pytest.raises(InvalidInput) as error:
        await api.get(THINGS.at(named("a")), Thing)
    await api.close()
    assert ("tokenFile", str(file)) == (error.value.field, error.value.value)
    assert remedy in error.value.remedy


@pytest.mark.parametrize("text", ["<html>", ""])
async def test_answer_that_is_not_the_apis_is_an_outage(server: ScriptedServer, api: ApiServer, text: str) -> None:
    server.next("GET", answering(200, text))
    with pytest.raises(StoreUnavailable, match="not the API's"):
        await api.get(THINGS.at(named("a")), Thing)
    server.next("list", answering(200, text))
    with pytest.raises(StoreUnavailable, match="no list"):
        await api.list(THINGS, Thing)


async def test_list_of_an_unknown_resource_is_empty(server: ScriptedServer, api: ApiServer) -> None:
    server.put("a", 1)
    assert [1] == [thing.spec.size for thing in await api.list(THINGS, Thing)]
    server.served = False
    assert () == await api.list(THINGS, Thing)


async def test_selection_becomes_a_query(server: ScriptedServer, api: ApiServer) -> None:
    await api.list(THINGS, Thing, Selection("default", "app in (a, b)", "spec.nodeName=node-1"))
    assert {"labelSelector": "app in (a, b)", "fieldSelector": "spec.nodeName=node-1", "limit": "1000"} == (
        server.asked[-1][1]
    )


async def test_bytes_are_sent_as_they_are(server: ScriptedServer, api: ApiServer) -> None:
    heard = []

    async def hear(request: web.Request) -> web.StreamResponse:
        heard.append((request.content_type, await request.read()))
        return web.Response(text=THING)

    server.next("PATCH", hear)
    await api.apply(THINGS.at(named("a")), b"a: 1", msgspec.Raw, "buoy")
    assert [("application/apply-patch+yaml", b"a: 1")] == heard


@pytest.mark.parametrize("field", ["certificate-authority", "client-certificate"])
async def test_certificate_that_is_none_is_named(field: str) -> None:
    wrong = Secret(data=b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    settings = ApiSettings(server="https://127.0.0.1:1", cert=wrong, key=wrong)
    if field == "certificate-authority":
        settings = ApiSettings(server="https://127.0.0.1:1", ca=wrong)
    api = ApiServer(settings)
    with pytest.raises(InvalidInput) as error:
        await api.get(THINGS.at(named("a")), Thing)
    await api.close()
    assert field == error.value.field


async def test_connections_are_probed_for_a_peer_that_vanished(
    server: ScriptedServer, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    probed = api_transport._probed

    def remember(info: Info) -> socket.socket:
        made.append(probed(info))
        return made[-1]

    monkeypatch.setattr(api_transport, "_probed", remember)
    await api.list(THINGS, Thing)
    seconds = [made[0].getsockopt(socket.IPPROTO_TCP, option) for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)]
    assert [1, 6, 2] == [made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *seconds]
    assert 12_000 == made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("http://127.0.0.1:1", "API server http://127.0.0.1:1: connection refused"),
        (
            "https://nowhere.invalid:6443",
            "API server https://nowhere.invalid:6443: the name nowhere.invalid is not known",
        ),
    ],
)
async def test_a_server_that_is_away_is_named_with_what_failed(server: str, words: str) -> None:
    api = ApiServer(ApiSettings(server=server))
    try:
        with pytest.raises(StoreUnavailable) as error:
            await api.get(THINGS.at(named("a")), Thing)
    finally:
        await api.close()
    assert str(error.value).startswith(words)
    assert "object at" not in str(error.value)


async def test_a_server_that_hangs_up_is_said_to() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1")
    port = listening.sockets[0].getsockname()[1]
    for scheme in ("http", "https"):
        api = ApiServer(ApiSettings(server=f"{scheme}://127.0.0.1:{port}"))
        with pytest.raises(StoreUnavailable, match="it ended the connection"):
            await api.get(THINGS.at(named("a")), Thing)
        await api.close()
    listening.close()


async def test_a_server_that_speaks_no_tls_is_said_to() -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(speak, "127.0.0.1")
    api = ApiServer(ApiSettings(server=f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
    with pytest.raises(StoreUnavailable, match="TLS failed: wrong version number"):
        await api.get(THINGS.at(named("a")), Thing)
    await api.close()
    listening.close()


def test_an_account_is_known_by_where_its_token_or_certificate_stands() -> None:
    bare = ApiSettings(server="https://192.0.2.1:6443", source="admin.conf context lab")
    by_token = msgspec.structs.replace(bare, token=Secret("/run/token"))
    by_certificate = msgspec.structs.replace(bare, cert=Secret(data=b"PEM"), key=Secret(data=b"PEM"))
    told = [each.account for each in (by_token, by_certificate, bare)]
    assert ["token /run/token", "client certificate in admin.conf context lab", ""] == told
