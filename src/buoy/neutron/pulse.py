# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of Neutron: one document for all API processes, and one of them at a time that keeps it.

Promises: who writes it has shown the living agents alive just before, so no
process does what another one did since; when that dies, the next one beats within
two intervals. No clocks are compared: a process sees by the document's revision
that somebody beat since its own last look.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable

import msgspec

from buoy import __version__
from buoy.model.documents import path
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.writer import NEUTRON, Writer
from buoy.neutron.table import Waiting
from buoy.store.store import Store, Write


class Rhythm(msgspec.Struct, frozen=True):
    """Seconds between heartbeats, and seconds a change may wait for the store."""

    interval: float
    patience: float


class Pulse:
    """Beats once whenever asked, unless another process did; `waiting` is `table.waiting`."""

    def __init__(self, store: Store, rhythm: Rhythm, waiting: Callable[[], Waiting]) -> None:
        self._store = store
        self._rhythm = rhythm
        self._waiting = waiting
        self._seen: int | None = None

    async def beat(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do what belongs to a heartbeat and write it, unless another process has since we last asked; tell which.

        The first one beats in any case. Raises `StoreUnavailable`.
        """
        revision = await self._revision()
        if self._seen not in (None, revision):
            self._seen = revision
            return False
        await work()
        document = self._document(await asyncio.to_thread(self._waiting))
        try:
            self._seen = await self._store.write([Write(path(document), document, revision)])
        except Conflict:
            # another one beat meanwhile: not having seen that yet, we leave it the next one too
            self._seen = revision
            return False
        return True

    async def _revision(self) -> int | None:
        """Return None for what is no document: it is overwritten."""
        try:
            return (await self._store.read(f"writers/{NEUTRON}")).revision
        except InvalidInput:
            return None

    def _document(self, waiting: Waiting) -> Writer:
        return Writer(
            name=NEUTRON,
            beaten=dt.datetime.now(dt.UTC).replace(microsecond=0),
            interval=self._rhythm.interval,
            patience=self._rhythm.patience,
            waiting=waiting.rows,
            oldest=round(waiting.seconds, 1),
            version=__version__,
        )
