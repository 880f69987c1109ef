# SPDX-License-Identifier: Apache-2.0
"""What of a client's request is passed on, and how a strategic merge patch is."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from buoy.aggregation.answers import Unserved, failure
from buoy.aggregation.asking import LARGEST, LARGEST_YAML, asked, is_watch
from buoy.aggregation.forwarding import ATTEMPTS, patch
from buoy.aggregation.versions import Json
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store.api_transport import Request, Transport
from tests.store.api.scripted import Handler, ScriptedServer, refusal

PEERS = "/apis/projectcalico.org/v3/bgppeers"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json"


async def ask(
    path: str = PEERS, body: bytes = b"", method: str = "GET", headers: Mapping[str, str] | None = None
) -> Request:
    """What the CRD's server is asked for a client's request."""
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), LARGEST, loop=loop)
    payload.feed_data(body)
    payload.feed_eof()
    request = make_mocked_request(method, path, CIMultiDict(headers or {}), payload=payload, client_max_size=LARGEST)
    return await asked(request, {"Impersonate-User": "ann"})


@pytest.mark.parametrize(
    ("accept", "passed"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", None),
        ("application/vnd.kubernetes.protobuf,application/json", JSON),
        ("application/cbor, application/json;stream=watch", "application/json;stream=watch"),
        ("text/html,*/*;q=0.8", JSON),
    ],
)
async def test_json_is_asked_for_and_nothing_else(accept: str, passed: str | None) -> None:
    made = await ask(headers={"Accept": accept} if accept else {})
    assert (passed or accept) == made.headers["Accept"]


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "text/html", "application/yaml"])
async def test_who_takes_no_json_gets_nothing(accept: str) -> None:
    with pytest.raises(Unserved) as refused:
        await ask(headers={"Accept": accept})
    assert (406, "NotAcceptable") == (refused.value.code, refused.value.reason)


async def test_of_headers_only_what_is_known_is_passed_on() -> None:
    sent = {
        "User-Agent": "kubectl/v1", "Audit-Id": "7", "Authorization": "Bearer x", "Cookie": "y",
        "Impersonate-Group": "system:masters", "X-Remote-User": "ann", "X-Forwarded-For": "192.0.2.1",
    }  # fmt: skip
    made = await ask(headers=sent)
    assert {"Impersonate-User": "ann", "User-Agent": "kubectl/v1", "Audit-Id": "7", "Accept": JSON} == dict(
        made.headers
    )


@pytest.mark.parametrize(
    ("path", "behind"),
    [
        (PEERS, "/apis/projectcalico.org/v3crd/bgppeers"),
        (f"{PEERS}/tor/status?dryRun=All", "/apis/projectcalico.org/v3crd/bgppeers/tor/status"),
        (f"{PEERS}/a%3Ab", "/apis/projectcalico.org/v3crd/bgppeers/a%3Ab"),
        ("/apis/projectcalico.org/v3/namespaces/a/things", "/apis/projectcalico.org/v3crd/namespaces/a/things"),
    ],
)
async def test_a_path_leads_to_the_same_object_of_the_crds_version(path: str, behind: str) -> None:
    made = await ask(path)
    assert behind == made.path
    assert ("dryRun" in path) == ("dryRun" in made.query)


@pytest.mark.parametrize("path", ["/..", "/.", "//x", "/%2e%2e/secrets", "/..%2f..%2fsecrets", "/a%2fb", "/%252e%252e"])
async def test_a_path_that_leads_elsewhere_is_not_found(path: str) -> None:
    with pytest.raises(Unserved) as refused:
        await ask(PEERS + path)
    assert 404 == refused.value.code


@pytest.mark.parametrize(
    ("content_type", "body", "behind"),
    [
        (JSON, b'{"apiVersion": "projectcalico.org/v3"}', {"apiVersion": "projectcalico.org/v3crd"}),
        (f"{JSON}; charset=utf-8", b'{"apiVersion": "v1"}', {"apiVersion": "v1"}),
        ("application/merge-patch+json", b'{"spec": null}', {"spec": None}),
        (
            "application/json-patch+json",
            b'[{"op": "test", "path": "/apiVersion", "value": "projectcalico.org/v3"}]',
            [{"op": "test", "path": "/apiVersion", "value": "projectcalico.org/v3crd"}],
        ),
        ("application/apply-patch+yaml", b' {"apiVersion":"projectcalico.org/v3"}', None),
    ],
)
async def test_a_body_is_passed_on_in_the_crds_version(content_type: str, body: bytes, behind: Json) -> None:
    made = await ask(PEERS, body, "PATCH", {"Content-Type": content_type})
    assert made.body is not None
    assert (behind or {"apiVersion": "projectcalico.org/v3crd"}) == json.loads(made.body)
    assert content_type == made.content_type


@pytest.mark.parametrize(
    ("content_type", "body", "behind"),
    [
        (
            "application/apply-patch+yaml",
            b"apiVersion: projectcalico.org/v3\n",
            b'apiVersion: "projectcalico.org/v3crd"\n',
        ),
        ("application/yaml", b"{apiVersion: projectcalico.org/v3}", b'{apiVersion: "projectcalico.org/v3crd"}'),
    ],
)
async def test_yaml_is_passed_on_as_yaml(content_type: str, body: bytes, behind: bytes) -> None:
    assert behind == (await ask(PEERS, body, "PATCH", {"Content-Type": content_type})).body


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (JSON, b"{", 400),
        (JSON, b"[" * 100_000, 400),
        (JSON, b" " * (LARGEST + 1), 413),
        ("application/apply-patch+yaml", b"spec: [", 400),
        ("application/apply-patch+yaml", b"[" * 10_000, 400),
        ("application/apply-patch+yaml", b"#" * (LARGEST_YAML + 1), 413),
        ("application/apply-patch+yaml", b"\xff\xfe\xfd", 400),
        ("application/cbor", b"\xa0", 415),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00", 415),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(content_type: str, body: bytes, code: int) -> None:
    with pytest.raises(Unserved) as refused:
        await ask(PEERS, body, "POST", {"Content-Type": content_type})
    assert code == refused.value.code


@pytest.mark.parametrize(
    ("query", "watches"),
    [("", False), ("?watch=1", True), ("?watch=true", True), ("?watch", True), ("?watch=0", False), ("?watch=F", True)],
)
def test_what_is_a_watch_is_read_as_the_api_server_reads_it(query: str, watches: bool) -> None:
    assert watches == is_watch(make_mocked_request("GET", PEERS + query))
    assert not is_watch(make_mocked_request("POST", PEERS + query))


@pytest.fixture
async def behind() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


class Patches:
    """The CRD's server as far as a patch sees it: an object, conflicts to begin with, and what was written."""

    def __init__(self, server: ScriptedServer, conflicts: int) -> None:
        self.written: list[tuple[str, Json]] = []
        self._conflicts = conflicts
        for number in range(ATTEMPTS + 1):
            server.next("GET", self._object(str(number)))
            server.next("PATCH", self._patch)
        self._transport = Transport(server.settings())

    def _object(self, version: str) -> Handler:
        async def handler(_: web.Request) -> web.StreamResponse:
            return web.json_response({"metadata": {"resourceVersion": version, "finalizers": ["a"]}})

        return handler

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        self.written.append((request.content_type, await request.json()))
        return refusal(409, "Conflict") if len(self.written) <= self._conflicts else web.json_response({})

    async def apply(self, change: Json) -> int:
        ask = Request("PATCH", "/x", body=msgspec.json.encode(change), content_type=STRATEGIC)
        try:
            return (await patch(self._transport, ask)).status
        finally:
            await self._transport.close()


async def test_a_plain_patch_is_one_request(behind: ScriptedServer) -> None:
    patches = Patches(behind, conflicts=0)
    assert 200 == await patches.apply({"spec": {"a": 1}})
    assert ["PATCH"] == [what for what, _ in behind.asked]
    assert [("application/merge-patch+json", {"spec": {"a": 1}})] == patches.written


async def test_a_patch_of_a_set_is_written_over_the_object_it_was_made_for_and_made_anew_on_conflict(
    behind: ScriptedServer,
) -> None:
    patches = Patches(behind, conflicts=2)
    assert 200 == await patches.apply({"metadata": {"finalizers": ["b"]}})
    assert [{"metadata": {"finalizers": ["a", "b"], "resourceVersion": str(n)}} for n in range(3)] == [
        change for _, change in patches.written
    ]


async def test_it_is_not_made_anew_for_ever_nor_over_what_the_client_did_not_mean(behind: ScriptedServer) -> None:
    patches = Patches(behind, conflicts=100)
    assert 409 == await patches.apply({"metadata": {"finalizers": ["b"]}})
    assert ATTEMPTS == len(patches.written)


async def test_a_clients_own_condition_is_kept_and_not_tried_again(behind: ScriptedServer) -> None:
    patches = Patches(behind, conflicts=100)
    assert 409 == await patches.apply({"metadata": {"finalizers": ["b"], "resourceVersion": "mine"}})
    written = [change["metadata"]["resourceVersion"] for _, change in patches.written]
    assert ["mine"] == written


@pytest.mark.parametrize(
    ("error", "may_repeat", "status", "retry"),
    [
        (StoreUnavailable("gone"), True, 503, "1"),
        (StoreUnavailable("gone"), False, 503, None),
        (InvalidInput("tokenFile", "x", "make it readable"), True, 500, None),
        (Unserved(415, "UnsupportedMediaType", "no"), True, 415, None),
    ],
)
def test_a_failure_is_a_status_and_a_write_is_not_to_be_repeated(
    error: StoreUnavailable | InvalidInput | Unserved, may_repeat: bool, status: int, retry: str | None
) -> None:
    answer = failure(error, may_repeat=may_repeat)
    assert isinstance(answer.body, bytes)
    told = json.loads(answer.body)
    assert (status, status, "Failure") == (answer.status, told["code"], told["status"])
    assert retry == answer.headers.get("Retry-After")
