# SPDX-License-Identifier: Apache-2.0
"""Requests to a Kubernetes API server: read, write, compare-and-set, server-side apply.

Promises: each call answers or raises within its deadline, in our words; at most
`PLACES` are under way, and a server that asks for patience is given it. The tricky
thing is a write that is not answered: it may have happened, and only reading tells.
So only what can do no harm twice is asked twice, after an answer that refused it.

`into` is the type an answer is decoded to: a msgspec struct of the fields that
matter, or `msgspec.Raw` for the bytes as they came.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import aiohttp
import msgspec

from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store.api_config import ApiSettings
from buoy.store.api_errors import Throttled, failure, status_of
from buoy.store.api_listing import listing
from buoy.store.api_names import EVERYTHING, Resource, Selection, Target
from buoy.store.api_transport import Request, Transport

DEADLINE = 5.0
"""Seconds a call may take, waiting for a place and being patient included."""
PLACES = 16
"""Calls under way at once: what saturates a server on two cores, by measurement; watches do not count."""

T = TypeVar("T")
Jitter: TypeAlias = Callable[[], float]
"""Returns a random number from 0 up to 1, so that many who lost the same server do not return as one."""


class ApiServer:
    """One API server and our account there; connects when first used; belongs to one asyncio event loop.

    Every method raises `StoreUnavailable` (nobody knows whether a write happened), `InvalidInput`
    for what is refused for good, missing rights included, and what its own docstring says.
    """

    def __init__(self, settings: ApiSettings, jitter: Jitter = lambda: 0.5) -> None:
        self.settings = settings
        self.jitter = jitter
        self._transport = Transport(settings)
        self._places = asyncio.Semaphore(PLACES)
        self.date = ""
        """When the server answered last, by its own clock and as HTTP says it; "" if it did not say."""

    async def get(self, target: Target, into: type[T]) -> T | None:
        """Return an object as it is now; None if it is not there."""
        return decoded(await self.call(Request("GET", target.path), f"get {target}"), into, str(target))

    async def list(self, resource: Resource, into: type[T], selection: Selection = EVERYTHING) -> tuple[T, ...]:
        """Return all objects selected, of one instant, none of a resource the server does not know.

        For a list that is followed see `Informer`.
        """
        raw = await listing(self.call, resource, selection)
        return tuple(decode(item, into, f"an item of {resource}") for item in raw.items) if raw else ()

    async def create(self, resource: Resource, namespace: str, body: object, into: type[T]) -> T:
        """Make an object and return it; raise `Conflict` if there is one of its name."""
        asked = f"create {resource} in {namespace}" if namespace else f"create {resource}"
        answer = await self.call(Request("POST", resource.path(namespace), body=encoded(body)), asked)
        if answer is None:
            raise InvalidInput("request", asked, "make the namespace, or install the CRD: the API server knows no such")
        return decode(answer, into, asked)

    async def replace(self, target: Target, body: object, into: type[T]) -> T | None:
        """Write an object over the one there and return it; None if there is none.

        Raises `Conflict` if the body's ``metadata.resourceVersion`` is not the object's any more.
        """
        asked = f"replace {target}"
        return decoded(await self.call(Request("PUT", target.path, body=encoded(body)), asked), into, asked)

    async def apply(
        self, target: Target, body: object, into: type[T], manager: str, *, force: bool = False
    ) -> T | None:
        """Say which fields an object shall have, ours and no others (server-side apply); make it if it is not there.

        `manager` is who says so; fields it said before and says no more are removed. Raises `Conflict`
        if another manager says otherwise of a field, unless `force` takes it over. None: `target` is
        a subresource of an object that is not there.
        """
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        request = Request("PATCH", target.path, query, encoded(body), "application/apply-patch+yaml")
        asked = f"apply {target}"
        return decoded(await self.call(request, asked), into, asked)

    async def patch(
        self, target: Target, body: object, into: type[T], kind: Literal["merge", "json"] = "merge"
    ) -> T | None:
        """Change parts of an object (RFC 7386 or RFC 6902) and return it; None if it is not there.

        A ``metadata.resourceVersion`` in a merge patch makes it compare-and-set: then raises `Conflict`.
        """
        request = Request("PATCH", target.path, {}, encoded(body), f"application/{kind}-patch+json")
        asked = f"patch {target}"
        return decoded(await self.call(request, asked), into, asked)

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        """Delete an object, or begin to if it has finalizers; tell whether it was there.

        Raises `Conflict` if it is not the one of this uid, or not at this resourceVersion.
        """
        conditions = {name: value for name, value in (("uid", uid), ("resourceVersion", revision)) if value}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        return await self.call(Request("DELETE", target.path, body=encoded(options)), f"delete {target}") is not None

    async def call(self, request: Request, asked: str, deadline: float = DEADLINE) -> bytes | None:
        """Return the body of an answer, None for 404; `asked` names the request in errors."""
        clock = asyncio.get_running_loop().time
        until = clock() + deadline
        try:
            async with asyncio.timeout_at(until), self._places:
                while True:
                    answer = await self._transport.exchange(request, until - clock())
                    self.date = answer.headers.get("Date", self.date)
                    if 200 <= answer.status < 300:
                        return answer.body
                    status = status_of(answer.body, answer.status)
                    if answer.status == 404:
                        return None
                    patience = answer.headers.get("Retry-After", "")
                    error = failure(asked, status, patience, self.settings.account)
                    if not isinstance(error, Throttled) or clock() + error.seconds >= until:
                        raise error
                    await asyncio.sleep(error.seconds * (1 + self.jitter() / 4))
        except TimeoutError:
            raise StoreUnavailable(f"API server {self.settings.server}: {asked}: no answer in {deadline:g} s") from None

    async def open(self, request: Request, asked: str, deadline: float = DEADLINE) -> aiohttp.ClientResponse | None:
        """Return an answer whose body is a stream, to be closed; None for 404; raise `Gone` too."""
        response = await self._transport.open(request, deadline)
        if response.status == 200:
            return response
        try:
            async with asyncio.timeout(deadline), response:
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise StoreUnavailable(f"{asked}: {str(error) or type(error).__name__}") from error
        if response.status == 404:
            return None
        patience = response.headers.get("Retry-After", "")
        raise failure(asked, status_of(body, response.status), patience, self.settings.account)

    async def close(self) -> None:
        """End every connection; informers are closed by whoever iterates them."""
        await self._transport.close()


def encoded(body: object) -> bytes:
    """Return a body as JSON; bytes are JSON already."""
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def decoded(raw: bytes | None, into: type[T], where: str) -> T | None:
    """Return an answer as a struct, None for None; raise like `decode`."""
    return None if raw is None else decode(raw, into, where)


def decode(raw: bytes | msgspec.Raw, into: type[T], where: str) -> T:
    """Return JSON as a struct; raise `InvalidInput` for another shape, `StoreUnavailable` for what is no JSON."""
    try:
        return msgspec.json.decode(raw, type=into)
    except msgspec.ValidationError as error:
        raise InvalidInput("object", where, f"correct it: {error}") from error
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"{where}: the answer is not the API's: {error}") from error
