# SPDX-License-Identifier: Apache-2.0
"""Lease: keeps what an agent says of itself alive for as long as the agent lives.

Promises: while the context is open a lease is held whenever the store answers, and
after each grant the leased documents are written again. Nothing here raises for an
outage, and nothing is revoked at the end: a restarted agent writes the same key
under its next lease, and nobody sees it gone in between.
"""

import asyncio
from typing import Self

from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.store.store import Leases, Renewed, Reporter

RETRY = 0.5
"""Seconds between attempts while the store is away."""


class Lease:
    """A lease of `ttl` seconds, kept by a task; `id` is None until the store granted one.

    `renewed` is awaited with the id after every grant, and again until it succeeds; it
    writes the leased documents, and may raise `Conflict` or `StoreUnavailable`.
    """

    def __init__(self, leases: Leases, ttl: int, renewed: Renewed, reporter: Reporter) -> None:
        self.id: int | None = None
        self._leases = leases
        self._ttl = ttl
        self._renewed = renewed
        self._reporter = reporter
        self._reported = False
        self._written = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="lease")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._raise_bug(self._task)

    async def ended(self) -> None:
        """Return when the context has ended; raise what a bug in `renewed` raised, to be awaited beside other tasks."""
        if self._task is not None:
            await asyncio.wait((self._task,))
            self._raise_bug(self._task)

    async def revoke(self) -> None:
        """End the lease and what is written under it, for an agent that leaves for good; raise `StoreUnavailable`."""
        await self.__aexit__()
        if self.id is not None:
            await self._leases.revoke(self.id)
            self.id = None

    @staticmethod
    def _raise_bug(task: asyncio.Task[None]) -> None:
        # a bug in `renewed` must not die silently with the task
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def _keep(self) -> None:
        while True:
            try:
                await self._once()
            except BuoyError as error:
                self._reported = True
                self._reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"lease: {error}"))
                await asyncio.sleep(RETRY)
                continue
            if self._reported:
                self._reported = False
                self._reporter(None)
            await asyncio.sleep(self._ttl / 3)

    async def _once(self) -> None:
        if self.id is not None and not await self._leases.keep(self.id):
            self.id = None
        if self.id is None:
            self.id = await self._leases.grant(self._ttl)
            self._written = False
        if not self._written:
            try:
                await self._renewed(self.id)
            except Conflict:
                # a lease that expired between grant and write is a conflict too: begin again
                self.id = None
                raise
            self._written = True
