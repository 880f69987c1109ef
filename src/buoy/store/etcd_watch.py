# SPDX-License-Identifier: Apache-2.0
"""A watch on etcd that outlives its connections: list, follow, and after a loss resume or list again.

Promises: no event is lost or told twice, whatever ends the connection; deletions
made while nobody watched are told; a store that is another, or was set back to a
backup, is listed anew and shows in the identity of the next batch.

Two things are tricky. To several watches etcd tells one transaction in several
messages, and whether there is one more must be asked: so there is one watch, of
everything if several prefixes are wanted, and what none of them covers is passed over.
And etcd does not say that it was set back, if it was pushed past what was told
meanwhile: so before a watch is resumed, the newest key that was told must stand in
its history.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.model.snapshot import Batch, Identity
from buoy.store.etcd_channel import Connection
from buoy.store.etcd_listing import Position, event, listing, position, probe, stood
from buoy.store.etcd_stream import WatchStream
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.store import Reporter
from buoy.store.view import Event, View

MAX_BEHIND = 500
"""Revisions up to which following is cheaper than listing: etcd feeds late watchers 1,000 events each 100 ms."""
FIRST_DELAY, LAST_DELAY = 0.1, 1.0
"""Seconds between attempts; the last bounds how late a change is heard after the store's return."""


class Watcher:
    """The state of one `EtcdStore.watch`: its view, how far it was told, the stream if there is one."""

    def __init__(self, connection: Connection, prefix: str, prefixes: tuple[str, ...], reporter: Reporter) -> None:
        self._connection = connection
        self._prefix = prefix
        self._prefixes = prefixes
        self._reporter = reporter
        self._view = View()
        self._at: Position | None = None
        self._mark: Event | None = None
        """The newest key that was told and not deleted since."""
        self._rewritten = False
        self._listed = False
        self._told = 0
        self._stream: WatchStream | None = None

    async def batches(self) -> AsyncIterator[Batch]:
        """Yield batches for ever; see `Store.watch`."""
        delay, reported = FIRST_DELAY, False
        try:
            while True:
                try:
                    batch = await self._step()
                except BuoyError as error:
                    self._reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error)))
                    reported = True
                    await self._drop()
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, LAST_DELAY)
                    continue
                if self._stream is not None:
                    delay = FIRST_DELAY
                # a listing is an answer as well, and whoever wants no more than that never opens a stream
                if reported and (self._stream is not None or batch is not None):
                    reported = False
                    self._reporter(None)
                if batch is not None:
                    yield batch
        finally:
            await self._drop()

    async def _step(self) -> Batch | None:
        if not self._listed:
            return await self._list()
        if self._stream is None:
            return await self._follow()
        return await self._take(await self._stream.receive())

    async def _list(self) -> Batch | None:
        at, events = await listing(self._connection, self._prefix, self._prefixes)
        first, suspect = self._at is None, self._rewritten or self._suspect(at)
        changed = self._view.replace(events, suspect=suspect)
        self._at, self._rewritten = at, False
        self._mark = None
        self._remember(sorted(events, key=lambda each: each.revision))
        self._listed = True
        self._told = at.revision
        if first or suspect or changed:
            return self._batch(None if first else changed, listed=True)
        return None

    async def _follow(self) -> Batch | None:
        if await self._lost():
            self._listed = False
            return None
        stream = self._stream = WatchStream(self._connection.open())
        await stream.start(await self._connection.metadata())
        watched = self._prefixes[0] if len(self._prefixes) == 1 else ""
        await stream.create((self._prefix + watched).encode(), self._told + 1)
        first = await stream.receive_first()
        # the probe was before the stream: a store set back in between must not go unseen
        if self._suspect(position(first.header)) and await self._lost():
            await self._drop()
            self._listed = False
            return None
        return await self._take(first)

    async def _lost(self) -> bool:
        now = await probe(self._connection, self._prefix)
        if self._suspect(now) or now.revision - self._told > MAX_BEHIND:
            return True
        try:
            self._rewritten = await self._differs(now)
        except StoreUnavailable:
            # compacted, so nobody knows; or away again, which the listing will tell
            return True
        return self._rewritten

    async def _differs(self, now: Position) -> bool:
        """Tell whether what was told is not the history of the store; raise `StoreUnavailable` if it is compacted."""
        reached = max(self._at.revision if self._at else 0, self._told)
        if now.revision < reached or self._mark is None:
            return now.revision < reached
        key = (self._prefix + self._mark.path).encode()
        return await stood(self._connection, key, reached) != self._mark.revision

    def _suspect(self, now: Position) -> bool:
        at = self._at
        return at is not None and (now.cluster != at.cluster or now.revision < at.revision or now.term < at.term)

    async def _take(self, response: pb.WatchResponse) -> Batch | None:
        if response.canceled:
            await self._canceled(response)
        if response.canceled or response.created or self._at is None:
            return None
        told = [event(self._prefix, each.kv, deleted=each.type == pb.Event.DELETE) for each in response.events]
        # without events it is word of progress: everything up to there has been told
        self._told = max(self._told, told[-1].revision if told else response.header.revision)
        self._remember(told)
        ours = [each for each in told if each.path.startswith(self._prefixes)]
        if not ours:
            return None
        self._at = Position(self._at.cluster, max(self._at.revision, self._told), self._at.term)
        return self._batch(self._view.apply(ours))

    def _remember(self, told: Iterable[Event]) -> None:
        """Hear what was told, in the order of revisions."""
        for each in told:
            # a key that is no text has lost its bytes on the way, and could not be asked for
            if each.raw is not None and "\\" not in each.path:
                self._mark = each
            elif self._mark is not None and self._mark.path == each.path:
                self._mark = None

    async def _canceled(self, response: pb.WatchResponse) -> None:
        await self._drop()
        if response.compact_revision == 0:
            raise StoreUnavailable(f"{self._connection.endpoint}: watch refused: {response.cancel_reason}")
        self._listed = False

    async def _drop(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.close()

    def _batch(self, changed: frozenset[str] | None, *, listed: bool = False) -> Batch:
        assert self._at is not None
        identity = Identity(f"etcd:{self._at.cluster:x}", self._at.revision)
        return Batch(self._view.snapshot(identity), changed, listed)
