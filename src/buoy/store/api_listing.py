# SPDX-License-Identifier: Apache-2.0
"""Complete listings from an API server, in pages of one instant.

Promises: what is returned stood there at one instant, or nothing is returned. The
tricky thing is that the instant may be forgotten while pages are read (410): then
everything is asked for at once, as client-go does, for that cannot happen twice.

Source: kubernetes.io, API concepts, "Retrieving large results sets in chunks".
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import msgspec

from buoy.model.errors import StoreUnavailable
from buoy.store.api_errors import Gone
from buoy.store.api_names import Resource, Selection
from buoy.store.api_transport import Request

PAGE = 1000
"""Objects in one answer: bounds memory on both sides, and each page is a round trip."""
PATIENCE = 20.0
"""Seconds one page may take; everything at once may be a hundred megabytes."""
QUICK = 5.0
"""Seconds one object may take."""

Call: TypeAlias = Callable[[Request, str, float], Awaitable[bytes | None]]
"""`ApiServer.call`."""


class Listing(NamedTuple):
    """Objects of one instant, and its resourceVersion; `more` continues a page."""

    revision: str
    items: list[msgspec.Raw]
    more: str = ""


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _Metadata
    # an empty list of some servers is null
    items: list[msgspec.Raw] | None = None


_DECODER = msgspec.json.Decoder(_List)


async def listing(call: Call, resource: Resource, selection: Selection) -> Listing | None:
    """Return all objects selected; None if the server does not know the resource; raise like `ApiServer.call`."""
    found = await page(call, resource, selection)
    if found is None:
        return None
    items, more = found.items, found.more
    while more:
        try:
            further = await page(call, resource, selection, more=more)
        except Gone:
            return await page(call, resource, selection, limit=0)
        if further is None:
            return None
        items += further.items
        more = further.more
    return Listing(found.revision, items)


async def page(
    call: Call, resource: Resource, selection: Selection, limit: int = PAGE, more: str = ""
) -> Listing | None:
    """Return one page of at most `limit` objects (0: all), the one `more` of the page before it names."""
    query = dict(selection.query)
    if limit:
        query["limit"] = str(limit)
    if more:
        query["continue"] = more
    asked = f"list {resource}" + (f" in {selection.namespace}" if selection.namespace else "")
    answer = await call(
        Request("GET", resource.path(selection.namespace), query), asked, QUICK if limit == 1 else PATIENCE
    )
    if answer is None:
        return None
    try:
        found = _DECODER.decode(answer)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"{asked}: the answer is no list: {error}") from error
    return Listing(found.metadata.resource_version, found.items or [], found.metadata.continue_)
