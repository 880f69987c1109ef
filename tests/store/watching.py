# SPDX-License-Identifier: Apache-2.0
"""A watch as a test sees it: the next batch, and what a path holds now."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Self, cast

from buoy.model.address import Prefix
from buoy.model.errors import StoreUnavailable
from buoy.model.pool import Pool
from buoy.model.snapshot import Batch
from buoy.store.store import Store, Write

PATIENCE = 30


def pool(name: str, text: str = "") -> Pool:
    return Pool(name=name, prefixes=(Prefix("192.0.2.0/24"),), description=text)


def put(name: str, text: str = "", expected: int | None = None) -> Write:
    return Write(f"pools/{name}", pool(name, text), expected)


def gone(name: str, expected: int | None = None) -> Write:
    return Write(f"pools/{name}", None, expected)


class Reports:
    """A `Reporter` that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.all: list[StoreUnavailable | None] = []
        self._came = asyncio.Event()

    def __call__(self, report: StoreUnavailable | None) -> None:
        self.all.append(report)
        self._came.set()

    async def heard(self, count: int) -> None:
        while len(self.all) < count:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), PATIENCE)


class Watching:
    """`async with Watching(store, prefixes) as watching: await watching.next()`."""

    def __init__(self, store: Store, prefixes: Sequence[str] = ("",)) -> None:
        self._batches = cast("AsyncGenerator[Batch, None]", store.watch(prefixes))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batches.aclose()

    async def next(self) -> Batch:
        return await asyncio.wait_for(anext(self._batches), PATIENCE)

    async def until(self, reached: Callable[[Batch], bool]) -> tuple[Batch, frozenset[str]]:
        """Return the first batch for which `reached`, and everything that changed up to it."""
        changed: frozenset[str] = frozenset()
        while True:
            batch = await self.next()
            assert batch.changed is not None, "a watch lists itself anew without telling the difference"
            changed |= batch.changed
            if reached(batch):
                return batch, changed


def texts(batch: Batch) -> dict[str, str]:
    """The pools of a batch, name to description."""
    return {pool.name: pool.description for pool in batch.snapshot.documents.values() if isinstance(pool, Pool)}
