# SPDX-License-Identifier: Apache-2.0
"""What the API server answers when it does not do as asked, in our words.

Promises: every failure is one of ours, and says what to do. The tricky thing is 403:
it means a missing right, but also what an admission rule or a quota refuses.

Source: the API's conventions, "Response Status Kind".
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from buoy.model.errors import BuoyError, Conflict, InvalidInput, StoreUnavailable

_CANNOT = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<right>.+?)(?:: |$)', re.DOTALL)
_VALUE = re.compile(r"^(?:Invalid|Unsupported|Duplicate) value: (?P<value>\"(?:[^\"\\]|\\.)*\"|[^:]*)", re.DOTALL)
_SHOWN = 300
"""Characters of an answer that is not the API's own: a proxy's page of HTML."""
_DEFAULT_WAIT = 1.0


class Gone(StoreUnavailable):
    """The point in history that was asked for is forgotten (410): list again."""


class Throttled(StoreUnavailable):
    """The server asks for patience (429, or 503 with Retry-After): `seconds` of it."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class Answer(NamedTuple):
    """A whole answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Cause(msgspec.Struct):
    """One thing wrong with an object."""

    field: str = ""
    message: str = ""


class Details(msgspec.Struct):
    """More about a failure."""

    causes: list[Cause] | None = None
    retry_after: int = msgspec.field(default=0, name="retryAfterSeconds")


class Status(msgspec.Struct):
    """The API's ``Status`` object: an answer that is no object, or the content of an ERROR event."""

    code: int = 0
    message: str = ""
    reason: str = ""
    details: Details | None = None


_STATUS = msgspec.json.Decoder(Status)


def status_of(raw: bytes | msgspec.Raw, code: int = 0) -> Status:
    """Return what an answer says of itself; one that is not the API's own is its own message."""
    try:
        status = _STATUS.decode(raw)
    except msgspec.DecodeError:
        text = " ".join(bytes(raw)[:_SHOWN].decode(errors="replace").split())
        return Status(code=code, message=text)
    status.code = status.code or code
    return status


def failure(asked: str, status: Status, retry_after: str = "", account: str = "") -> BuoyError:
    """Return the error for a refusal; `asked` says what was asked for, such as ``list services``, `account` by whom."""
    text = f"{asked}: {status.message or status.reason or f'HTTP status {status.code}'}"
    match status.code:
        case 409:
            return Conflict(text)
        case 410:
            return Gone(text)
        case 401:
            remedy = f"give token or client certificate of an account the API server knows ({text})"
            return InvalidInput("account", account or "(none)", remedy)
        case 403:
            return _forbidden(text, status)
        case 429:
            return Throttled(text, _patience(status, retry_after))
        case 503 if retry_after:
            return Throttled(text, _patience(status, retry_after))
        case code if code < 400 or code >= 500 or code == 408:
            return StoreUnavailable(text)
    return _invalid(text, asked, status)


def _forbidden(text: str, status: Status) -> InvalidInput:
    missing = _CANNOT.search(status.message)
    if missing is None:
        return InvalidInput("request", text, "change what is asked for, or the rule that forbids it")
    remedy = f"give it a role with the right to {missing['right'].strip()} ({text})"
    return InvalidInput("account", missing["user"], remedy)


def _invalid(text: str, asked: str, status: Status) -> InvalidInput:
    causes = (status.details.causes if status.details else None) or []
    if not causes:
        return InvalidInput("request", asked, status.message or f"HTTP status {status.code}")
    first = causes[0]
    value = _VALUE.match(first.message)
    told = "; ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes)
    return InvalidInput(first.field or "request", value["value"].strip('"') if value else asked, f"{told} ({text})")


def _patience(status: Status, retry_after: str) -> float:
    try:
        seconds = float(retry_after)
    except ValueError:
        # absent, or a date, which would need the server's clock
        seconds = float(status.details.retry_after if status.details else 0)
    return seconds if seconds > 0 else _DEFAULT_WAIT
