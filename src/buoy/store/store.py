# SPDX-License-Identifier: Apache-2.0
"""The contract of a store: read one document, write several or none, hear of every change.

Promises: a write happens as a whole or not at all; a watch loses nothing, tells
exactly the difference after an outage, and never ends by one. The tricky thing
is an unanswered write: it may have happened, so it is either repeated as it was
or decided anew from what is then read.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from buoy.model.documents import Document
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.snapshot import Batch

MAX_WRITES = 128
"""Writes in one transaction: etcd's default `--max-txn-ops`."""

Reporter: TypeAlias = Callable[[StoreUnavailable | None], None]
"""Told of each failed attempt of a watch or a lease; told None once the store answers again."""

Renewed: TypeAlias = Callable[[int], Awaitable[None]]
"""Told the id of each newly granted lease, to write the leased documents under it."""


class Write(msgspec.Struct, frozen=True):
    """One wish of a transaction: `document` None deletes; a delete of what is not there succeeds.

    `expected` is the store revision the path must have: 0 = must not exist, None = do not care.
    """

    path: str
    document: Document | None
    expected: int | None = None


class Stored(msgspec.Struct, frozen=True):
    """What stands under a path, with the store revision that wrote it; None and 0 if nothing does."""

    document: Document | None
    revision: int


class Leases(Protocol):
    """What a `Lease` needs of a store; each raises `StoreUnavailable`."""

    async def grant(self, ttl: int) -> int:
        """Return the id of a new lease of `ttl` seconds."""

    async def keep(self, lease: int) -> bool:
        """Restart a lease's time; tell whether it still existed."""

    async def revoke(self, lease: int) -> None:
        """End a lease and delete what was written under it."""


class Store(Protocol):
    """A store of documents; all methods belong to one asyncio event loop."""

    leases: Leases

    async def read(self, path: str) -> Stored:
        """Return what is stored now; raise `InvalidInput` if it is no document, `StoreUnavailable`."""

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """Write all or none in one transaction, under a lease if one is given; return the store's revision.

        Raises `Conflict` if a path is not at its expected revision or the lease is gone,
        `InvalidInput` if the store will never take it, and `StoreUnavailable` within about
        two seconds; after the last, the write may have happened.
        """

    def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """Yield the complete listing (`changed` None), then every change, for ever.

        A prefix is the beginning of a path, such as ``workloads/compute-1/``; "" is everything.
        One transaction is one batch, also across prefixes. The snapshot is live: it changes while
        the next batch is awaited, and at no other time. An outage is reported and waited out.
        """

    async def close(self) -> None:
        """Release connections; iterators of `watch` are closed by whoever iterates."""


def check_writes(writes: Sequence[Write]) -> None:
    """Raise `InvalidInput` for a transaction no store takes."""
    if len(writes) > MAX_WRITES:
        raise InvalidInput("writes", len(writes), f"write at most {MAX_WRITES} documents in one transaction")
    seen: set[str] = set()
    for write in writes:
        if write.path in seen:
            raise InvalidInput("writes", write.path, "write each path once in one transaction")
        seen.add(write.path)


def covering(prefixes: Sequence[str]) -> tuple[str, ...]:
    """Return the prefixes, sorted, without those that another one covers."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)
