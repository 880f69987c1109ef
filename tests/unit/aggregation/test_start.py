# SPDX-License-Identifier: Apache-2.0
"""What the server waits for before it serves."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from aiohttp import web

from buoy.aggregation.front_proxy import Trust
from buoy.aggregation.run import endpoint, first_trust
from buoy.model.errors import InvalidInput
from buoy.store.api_client import ApiServer
from tests.store.api.scripted import Handler, ScriptedServer, refusal


def answers(*documents: object) -> list[Handler]:
    """Handlers that answer with these, one after the other; an int is a refusal."""

    def one(document: object) -> Handler:
        async def handler(_: web.Request) -> web.StreamResponse:
            return refusal(document) if isinstance(document, int) else web.json_response(document)

        return handler

    return [one(document) for document in documents]


@pytest.fixture
async def behind() -> AsyncIterator[tuple[ScriptedServer, ApiServer]]:
    async with ScriptedServer() as server:
        client = ApiServer(server.settings())
        yield server, client
        await client.close()


CONFIGURATION = {"data": {"requestheader-client-ca-file": "PEM"}}


async def test_it_waits_for_the_api_server_and_then_for_crds_that_serve_the_second_version(
    behind: tuple[ScriptedServer, ApiServer],
) -> None:
    server, client = behind
    server.next("GET", *answers(500, CONFIGURATION, 404, CONFIGURATION, {}))
    with structlog.testing.capture_logs() as said:
        found = await first_trust(client, asyncio.Event(), structlog.get_logger())
    assert Trust("PEM", frozenset()) == found
    assert ["waiting for the API server", "waiting for CRDs that serve it: apply Buoy's own"] == [
        event["event"] for event in said
    ]


async def test_it_waits_no_longer_than_until_it_is_told_to_end(behind: tuple[ScriptedServer, ApiServer]) -> None:
    server, client = behind
    server.next("GET", *answers(500))
    stop = asyncio.Event()
    waiting = asyncio.ensure_future(first_trust(client, stop, structlog.get_logger()))
    while not server.asked:  # noqa: ASYNC110  the fake tells nobody
        await asyncio.sleep(0.01)
    stop.set()
    assert await asyncio.wait_for(waiting, 10) is None


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("0.0.0.0:8443", ("0.0.0.0", 8443)),
        ("[::]:8443", ("::", 8443)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text: str, pair: tuple[str, int]) -> None:
    assert pair == endpoint("--listen", text)


@pytest.mark.parametrize("text", ["8443", ":8443", "host:", "host:0", "host:65536", "host:x", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--listen"):
        endpoint("--listen", text)
