# SPDX-License-Identifier: Apache-2.0
"""The API server as a leader has it: who leads no more begins no write.

The tricky thing is a process that was stopped in the middle of something and goes on long
after another took over: its tasks run on before any of them hears that the lease is over.
What was on its way when the lease ended cannot be called back, so every write compares versions, too.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

from buoy.controller.writes import Api
from buoy.model.errors import StoreUnavailable
from buoy.store.api_names import Resource, Target

T = TypeVar("T")


class Fenced:
    """See `Api`; each write raises `StoreUnavailable` unless `leads` says, right before it, that it may be."""

    def __init__(self, api: Api, leads: Callable[[], bool]) -> None:
        self._api = api
        self._leads = leads

    async def get(self, target: Target, into: type[T]) -> T | None:
        """See `Api.get`."""
        return await self._api.get(target, into)

    async def create(self, resource: Resource, namespace: str, body: object, into: type[T]) -> T:
        """See `Api.create`."""
        self._check(f"create {resource}")
        return await self._api.create(resource, namespace, body, into)

    async def patch(
        self, target: Target, body: object, into: type[T], kind: Literal["merge", "json"] = "merge"
    ) -> T | None:
        """See `Api.patch`."""
        self._check(f"patch {target}")
        return await self._api.patch(target, body, into, kind)

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        """See `Api.delete`."""
        self._check(f"delete {target}")
        return await self._api.delete(target, uid, revision)

    def _check(self, asked: str) -> None:
        if not self._leads():
            raise StoreUnavailable(f"{asked}: not done, this process leads no more")
