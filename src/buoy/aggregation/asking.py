# SPDX-License-Identifier: Apache-2.0
"""A client's request, as the CRD's server is asked it.

Promises that nothing is passed on but what is known here: of headers a few, of paths only
plain names below the version, of bodies only types whose version we can change. So nobody
says in a header who they are, nor leaves the group by a path. The tricky thing is `Accept`:
clients of metadata like protobuf better than JSON, which we cannot read.
"""

from collections.abc import Mapping
from urllib.parse import quote, unquote

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from buoy.aggregation.answers import JSON, Unserved, bad_request
from buoy.aggregation.versions import BEHIND, SERVED, inward, inward_operations, inward_yaml
from buoy.model.errors import InvalidInput
from buoy.store.api_transport import Request

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
_OPERATIONS = "application/json-patch+json"
_YAML = ("application/apply-patch+yaml", "application/yaml")
ROOT = f"/apis/{SERVED}/"
LARGEST = 3 << 20
"""Bytes of a body: what kube-apiserver takes."""
LARGEST_YAML = 256 << 10
"""Of a body in YAML, which is read in a second, during which nobody else is answered; clients send JSON."""

# the default name of a field's manager is taken from the first, and audit logs are joined by the second
_PASSED = ("User-Agent", "Audit-Id", "Traceparent", "Tracestate")


async def asked(request: web.Request, spoken: Mapping[str, str]) -> Request:
    """Return what the CRD's server is asked; `spoken` are headers for whom. Raises `Unserved`.

    A strategic merge patch keeps its type: it has to be made another one.
    """
    headers = CIMultiDict(spoken)
    for name in _PASSED:
        if name in request.headers:
            headers[name] = request.headers[name]
    headers["Accept"] = _accept(",".join(request.headers.getall("Accept", ())))
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Unserved(413, "RequestEntityTooLarge", f"the body has more than {LARGEST} bytes") from error
    content_type = request.headers.get("Content-Type", JSON)
    body = _body(content_type.split(";")[0].strip().lower(), raw) if raw else None
    return Request(request.method, _path(request.rel_url.raw_path), request.query, body, content_type, headers)


def is_watch(request: web.Request) -> bool:
    """Tell whether a request's answer does not end."""
    # as apimachinery reads a boolean: anything but these two is true
    return request.method == "GET" and request.query.get("watch", "false").lower() not in {"false", "0"}


def _path(raw: str) -> str:
    names = [unquote(name) for name in raw.removeprefix(ROOT).split("/")]
    if any(name in {"", ".", ".."} or "/" in name or "%" in name for name in names):
        raise Unserved(404, "NotFound", f"there is no {raw}")
    return f"/apis/{BEHIND}/{'/'.join(quote(name, safe='') for name in names)}"


def _accept(header: str) -> str:
    """Return what of an `Accept` is JSON, as a table perhaps; raise `Unserved`."""
    wanted = [part.strip() for part in header.split(",") if part.strip()] or [JSON]
    types = {part.split(";")[0].strip().lower(): part for part in wanted}
    if {"*/*", "application/*"} & set(types):
        wanted.append(JSON)
    read = [part for part in wanted if part.split(";")[0].strip().lower() == JSON]
    if not read:
        raise Unserved(406, "NotAcceptable", f"only {JSON} is served, not {header}")
    return ",".join(read)


def _body(media: str, raw: bytes) -> bytes:
    try:
        match media:
            case "application/json" | "application/merge-patch+json" | "application/strategic-merge-patch+json":
                return msgspec.json.encode(inward(msgspec.json.decode(raw)))
            case "application/json-patch+json":
                return msgspec.json.encode(inward_operations(msgspec.json.decode(raw)))
            case "application/apply-patch+yaml" | "application/yaml":
                return _yaml(raw)
    except InvalidInput as error:
        raise bad_request(error) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unserved(400, "BadRequest", f"the body is not {media}: {error}") from error
    known = ", ".join((JSON, MERGE, STRATEGIC, _OPERATIONS, *_YAML))
    raise Unserved(415, "UnsupportedMediaType", f"the body is of type {media}; read are {known}")


def _yaml(raw: bytes) -> bytes:
    if raw.lstrip()[:1] == b"{":
        try:
            return msgspec.json.encode(inward(msgspec.json.decode(raw)))
        except msgspec.DecodeError:
            pass  # a mapping of YAML can begin so, too
    if len(raw) > LARGEST_YAML:
        raise Unserved(413, "RequestEntityTooLarge", f"YAML of more than {LARGEST_YAML} bytes: send JSON")
    return inward_yaml(raw.decode()).encode()
