# SPDX-License-Identifier: Apache-2.0
"""Passing requests on to the CRD's server, and its answers back.

Promises: one request is one request there, but for a strategic merge patch that needs the object
first; that is written only over the very object it was made for, and made anew if somebody else
was faster. The tricky thing is a watch: it lasts as long as its client, and no longer.
"""

from collections.abc import Mapping

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict

from buoy.aggregation.answers import JSON, Unserved, bad_request
from buoy.aggregation.asking import MERGE, STRATEGIC
from buoy.aggregation.strategic import as_merge_patch, is_merge_patch
from buoy.aggregation.versions import Json, outward, outward_text
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store.api_errors import Answer
from buoy.store.api_stream import WatchStream
from buoy.store.api_transport import Request, Transport

SECONDS = 55.0
"""A request may take, and the beginning of a watch: less than kube-apiserver gives us."""
ATTEMPTS = 5
"""How often a patch is made anew, as often as kube-apiserver makes its own."""
_QUIET = 2 * 3600.0
"""Seconds a watch may be silent, which is lawful; a server that is gone is noticed by TCP."""
_RETURNED = ("Warning", "Retry-After", "Cache-Control", "Audit-Id")


async def forward(transport: Transport, ask: Request) -> web.Response:
    """Return the answer to a request that has an end; raise `Unserved`, `StoreUnavailable`, `InvalidInput`."""
    if ask.method == "PATCH" and ask.content_type.startswith(STRATEGIC):
        return reply(await patch(transport, ask))
    return reply(await exchange(transport, ask))


async def patch(transport: Transport, ask: Request) -> Answer:
    """Return the answer to a strategic merge patch, its body already in the CRD's version; raise like `forward`."""
    wanted = msgspec.json.decode(ask.body or b"null")
    if not isinstance(wanted, dict):
        raise Unserved(400, "BadRequest", "a strategic merge patch is an object")
    if is_merge_patch(wanted):
        return await exchange(transport, ask._replace(content_type=MERGE))
    own_condition = (wanted.get("metadata") or {}).get("resourceVersion")
    for _ in range(ATTEMPTS):
        found = await exchange(transport, Request("GET", ask.path, headers=_plain(ask.headers)))
        if found.status != 200:
            return found
        body = msgspec.json.encode(_for(msgspec.json.decode(found.body), wanted))
        answer = await exchange(transport, ask._replace(body=body, content_type=MERGE))
        if answer.status != 409 or own_condition:
            break
    return answer


async def watch(transport: Transport, ask: Request, request: web.Request) -> web.StreamResponse:
    """Answer a watch until it or its client ends; raise like `forward` before it begins."""
    upstream = await transport.open(ask, SECONDS)
    try:
        if upstream.status != 200:
            return reply(_judged(Answer(upstream.status, upstream.headers, await _read(upstream))))
        response = web.StreamResponse(headers=_headers(upstream.headers))
        await response.prepare(request)
        stream = WatchStream(upstream, "watch", _QUIET)
        try:
            while lines := await stream.lines():
                await response.write(b"".join(map(_event, lines)))
        except (StoreUnavailable, ConnectionError):
            # either side is gone: the client, if it is still there, watches again from where it is
            return response
    finally:
        upstream.close()
    return response


async def exchange(transport: Transport, ask: Request) -> Answer:
    """Return an answer that is the client's; raise `StoreUnavailable`, `InvalidInput`."""
    return _judged(await transport.exchange(ask, SECONDS))


def reply(answer: Answer) -> web.Response:
    """Return an answer of the CRD's server as clients know it."""
    headers = _headers(answer.headers)
    if headers["Content-Type"].split(";")[0] != JSON:
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    body = msgspec.json.encode(outward(msgspec.json.decode(answer.body)))
    return web.Response(status=answer.status, body=body, headers=headers)


def _for(current: Json, wanted: Json) -> Json:
    """Return the merge patch for this very object; raise `Unserved`."""
    try:
        change = as_merge_patch(current, wanted)
    except InvalidInput as error:
        raise bad_request(error) from error
    metadata = change.get("metadata") or {}
    version = metadata.get("resourceVersion") or current["metadata"]["resourceVersion"]
    return {**change, "metadata": {**metadata, "resourceVersion": version}}


def _judged(answer: Answer) -> Answer:
    if answer.status == 401:
        # it is us whom the server does not know: the client's own credentials were accepted before
        raise InvalidInput("account", "", "give this server an account that the API server knows: its token is refused")
    return answer


def _event(line: bytes) -> bytes:
    event = msgspec.json.decode(line)
    event["object"] = outward(event.get("object"))
    return msgspec.json.encode(event) + b"\n"


def _plain(headers: Mapping[str, str]) -> CIMultiDict[str]:
    plain = CIMultiDict(headers)
    plain["Accept"] = JSON
    return plain


def _headers(found: Mapping[str, str]) -> CIMultiDict[str]:
    headers = CIMultiDict({"Content-Type": found.get("Content-Type", JSON)})
    for name, value in found.items():
        if name.title() in _RETURNED:
            headers.add(name, outward_text(value))
    return headers


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise StoreUnavailable(f"watch: {str(error) or type(error).__name__}") from error
