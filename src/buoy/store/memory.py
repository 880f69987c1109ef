# SPDX-License-Identifier: Apache-2.0
"""A store in memory, for tests, demonstrations and as the body of the file store.

Promises the whole contract of `store.py`, kept by the same tests as etcd. `away`
makes it unreachable and `put_raw` plays a broken client, so that what must survive
both can be tried without a server.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from buoy.model import documents
from buoy.model.errors import Conflict, StoreUnavailable
from buoy.model.snapshot import Batch, Identity
from buoy.store.store import Leases, Reporter, Stored, Write, check_writes, covering
from buoy.store.view import Event, View


class MemoryStore:
    """Documents as bytes by path; every transaction is one revision. Belongs to one event loop."""

    def __init__(self, reporter: Reporter = lambda _: None, name: str = "memory", *, ages: bool = True) -> None:
        self.away = False
        """True plays an outage: calls raise `StoreUnavailable`, watches stand still and report it."""
        self._held = MemoryLeases(self)
        self.leases: Leases = self._held
        self._name = name
        self._ages = ages
        """Whether a lower revision is an older state; if not, its identity tells none."""
        self._reporter = reporter
        self._revision = 1
        self._raw: dict[str, tuple[bytes, int]] = {}
        self._leased: dict[str, int] = {}
        self._watches: set[_Watch] = set()

    async def read(self, path: str) -> Stored:
        """See `Store.read`."""
        self.answer()
        raw, revision = self._raw.get(path, (None, 0))
        return Stored(None if raw is None else documents.decode(path, raw), revision)

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """See `Store.write`."""
        check_writes(writes)
        self.answer()
        for write in writes:
            _, revision = self._raw.get(write.path, (None, 0))
            if write.expected is not None and write.expected != revision:
                raise Conflict(f"{write.path}: expected revision {write.expected}, is {revision}")
        if lease is not None and not self._held.runs(lease):
            raise Conflict(f"lease {lease:x} has expired")
        self._commit({w.path: None if w.document is None else documents.encode(w.document) for w in writes}, lease)
        return self._revision

    async def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        watch, view = _Watch(covering(prefixes)), View()
        await self._wait()
        self._watches.add(watch)
        try:
            view.replace(Event(p, raw, rev) for p, (raw, rev) in self._raw.items() if watch.covers(p))
            yield Batch(view.snapshot(self._identity(self._revision)), None)
            while True:
                events = await watch.events()
                await self._wait()
                yield Batch(changed=view.apply(events), snapshot=view.snapshot(self._identity(events[-1].revision)))
        finally:
            self._watches.discard(watch)

    async def close(self) -> None:
        """See `Store.close`."""

    def put_raw(self, raws: Mapping[str, bytes | None]) -> int:
        """Write bytes by path in one transaction, as a broken client does, checked by nobody; return the revision."""
        self._commit(raws, None)
        return self._revision

    def answer(self) -> None:
        """Raise `StoreUnavailable` if the store plays being away."""
        if self.away:
            raise StoreUnavailable(f"{self._name}: away")

    def expire(self, lease: int) -> None:
        """Delete what was written under a lease, as one transaction."""
        self._commit(dict.fromkeys([path for path, held in self._leased.items() if held == lease]), None)

    def _identity(self, revision: int) -> Identity:
        return Identity(self._name, revision if self._ages else 0)

    async def _wait(self) -> None:
        reported = False
        while self.away:
            if not reported:
                self._reporter(StoreUnavailable(f"{self._name}: away"))
            reported = True
            await asyncio.sleep(0.01)
        if reported:
            self._reporter(None)

    def _commit(self, raws: Mapping[str, bytes | None], lease: int | None) -> None:
        written = {path: raw for path, raw in raws.items() if raw is not None or path in self._raw}
        if not written:
            return
        self._revision += 1
        for path, raw in written.items():
            self._leased.pop(path, None)
            if raw is None:
                del self._raw[path]
                continue
            self._raw[path] = (raw, self._revision)
            if lease is not None:
                self._leased[path] = lease
        for watch in self._watches:
            watch.tell([Event(path, raw, self._revision) for path, raw in written.items() if watch.covers(path)])


class MemoryLeases:
    """Leases that expire by the event loop's timer."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._next = 1
        self._running: dict[int, tuple[int, Callable[[], None]]] = {}

    async def grant(self, ttl: int) -> int:
        """See `Leases.grant`."""
        self._store.answer()
        lease, self._next = self._next, self._next + 1
        self._start(lease, ttl)
        return lease

    async def keep(self, lease: int) -> bool:
        """See `Leases.keep`."""
        self._store.answer()
        if lease not in self._running:
            return False
        ttl, cancel = self._running[lease]
        cancel()
        self._start(lease, ttl)
        return True

    async def revoke(self, lease: int) -> None:
        """See `Leases.revoke`."""
        self._store.answer()
        if lease in self._running:
            self._running[lease][1]()
            self._expire(lease)

    def runs(self, lease: int) -> bool:
        """Tell whether a lease has not expired."""
        return lease in self._running

    def _start(self, lease: int, ttl: int) -> None:
        timer = asyncio.get_running_loop().call_later(ttl, self._expire, lease)
        self._running[lease] = (ttl, timer.cancel)

    def _expire(self, lease: int) -> None:
        del self._running[lease]
        self._store.expire(lease)


class _Watch:
    """What one watcher has not heard yet, one list of events per transaction."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self._prefixes = prefixes
        self._untold: asyncio.Queue[list[Event]] = asyncio.Queue()

    def covers(self, path: str) -> bool:
        return path.startswith(self._prefixes)

    def tell(self, events: list[Event]) -> None:
        if events:
            self._untold.put_nowait(events)

    async def events(self) -> list[Event]:
        return await self._untold.get()
