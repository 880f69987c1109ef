# SPDX-License-Identifier: Apache-2.0
"""Whom the server answers, and in whose name it asks."""

from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from buoy.aggregation.front_proxy import Trust, is_front_proxy, on_behalf, read_trust
from buoy.model.errors import InvalidInput
from buoy.store.api_client import ApiServer
from tests.store.api.scripted import ScriptedServer

TRUST = Trust("PEM", frozenset({"front-proxy-client"}))


def shown(*names: str) -> dict[str, Any]:
    """What `ssl` says of a certificate with these common names."""
    return {"subject": tuple((("commonName", name),) for name in names)}


@pytest.mark.parametrize(
    ("certificate", "admitted"),
    [(shown("front-proxy-client"), True), (shown("somebody"), False), (shown(), False), ({}, False), (None, False)],
)
def test_only_a_name_that_the_cluster_allows_is_admitted(certificate: dict[str, Any] | None, admitted: bool) -> None:
    assert admitted == is_front_proxy(TRUST, certificate)


@pytest.mark.parametrize(("certificate", "admitted"), [(shown("anybody"), True), (None, False)])
def test_without_names_any_certificate_of_the_ca_is_admitted(
    certificate: dict[str, Any] | None, admitted: bool
) -> None:
    assert admitted == is_front_proxy(Trust("PEM", frozenset()), certificate)


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_the_clients_name_groups_and_extras_are_passed_on_in_the_words_of_impersonation() -> None:
    spoken = on_behalf(
        TRUST,
        headers(
            ("X-Remote-User", "ann"), ("X-Remote-Uid", "7"), ("x-remote-group", "a"), ("X-Remote-Group", "b"),
            ("X-Remote-Extra-Example.org%2fscope", "one"), ("X-Remote-Extra-Example.org%2fscope", "two"),
            ("Impersonate-Group", "system:masters"), ("Authorization", "Bearer mine"),
        ),
    )  # fmt: skip
    assert [
        ("Impersonate-User", "ann"), ("Impersonate-Uid", "7"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"),
        ("Impersonate-Extra-Example.org%2fscope", "one"), ("Impersonate-Extra-Example.org%2fscope", "two"),
    ] == list(spoken.items())  # fmt: skip


def test_a_request_that_names_nobody_is_refused() -> None:
    with pytest.raises(InvalidInput, match="through kube-apiserver"):
        on_behalf(TRUST, headers(("X-Remote-Group", "a")))


async def trust_of(**data: str) -> Trust:
    """Read the trust of a cluster whose configuration holds this."""
    async with ScriptedServer() as server:

        async def configuration(_: web.Request) -> web.StreamResponse:
            return web.json_response({"data": {name.replace("_", "-"): text for name, text in data.items()}})

        server.next("GET", configuration)
        client = ApiServer(server.settings())
        try:
            return await read_trust(client)
        finally:
            await client.close()


async def test_the_cluster_says_whom_to_trust() -> None:
    assert TRUST == await trust_of(
        requestheader_client_ca_file="PEM", requestheader_allowed_names='["front-proxy-client"]'
    )
    assert Trust("PEM", frozenset(), ("U",), ("I",), ("G",), ("E-",)) == await trust_of(
        requestheader_client_ca_file="PEM",
        requestheader_username_headers='["U"]',
        requestheader_uid_headers='["I"]',
        requestheader_group_headers='["G"]',
        requestheader_extra_headers_prefix='["E-"]',
    )


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        ({}, "--requestheader-client-ca-file"),
        ({"requestheader_client_ca_file": "PEM", "requestheader_allowed_names": "a,b"}, "JSON list"),
    ],
)
async def test_a_cluster_without_aggregation_is_told_what_to_do(data: dict[str, str], remedy: str) -> None:
    with pytest.raises(InvalidInput, match=remedy):
        await trust_of(**data)
