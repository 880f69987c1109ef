# SPDX-License-Identifier: Apache-2.0
"""Answers of our own making, in the API's words.

Promises: whatever fails here is a Status that kubectl prints and client-go understands. The
tricky thing is `Retry-After`: with it client-go asks again by itself, which a write that may
have happened must not be.

Source: the API's conventions, "Response Status Kind" and "HTTP Status codes".
"""

from typing import Any

import msgspec
from aiohttp import web

from buoy.model.errors import BuoyError, StoreUnavailable

JSON = "application/json"


class Unserved(BuoyError):
    """The client asks for what we do not do; `reason` is the API's own word."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


def bad_request(error: BuoyError) -> Unserved:
    """Return the refusal of what a client has written."""
    return Unserved(400, "BadRequest", str(error))


def in_json(document: Any, content_type: str = JSON) -> web.Response:  # noqa: ANN401  JSON
    """Return a document as an answer."""
    return web.Response(body=msgspec.json.encode(document), headers={"Content-Type": content_type})


def failure(error: BuoyError, *, may_repeat: bool) -> web.Response:
    """Return what a client is told of an error; `may_repeat` tells whether asking again can do no harm."""
    match error:
        case Unserved():
            return _status(error.code, error.reason, str(error))
        case StoreUnavailable():
            answer = _status(503, "ServiceUnavailable", f"the API server behind projectcalico.org: {error}")
            if may_repeat:
                answer.headers["Retry-After"] = "1"
            return answer
    return _status(500, "InternalError", f"buoy aggregation: {error}")


def _status(code: int, reason: str, message: str) -> web.Response:
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body = msgspec.json.encode({**told, "message": message, "reason": reason, "code": code})
    return web.Response(status=code, body=body, headers={"Content-Type": JSON})
