# SPDX-License-Identifier: Apache-2.0
"""A store read from YAML files: the walking skeleton of an operator without etcd.

Promises: what the files say is in force; a file that cannot be read leaves the last
readable state of all of them in force and is reported. Wishes are changed by editing
the files; what an agent says of itself is kept in memory and ends with the process.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.snapshot import Batch
from buoy.store.memory import MemoryStore
from buoy.store.store import Reporter, Stored, Write
from buoy.store.yaml_documents import files, load

POLL = 0.5
"""Seconds between looks at the files."""
_OURS = ("status/", "nodes/")


class FileStore:
    """The documents of one YAML file or directory; raises `InvalidInput` at once if it cannot be read."""

    def __init__(self, source: Path, reporter: Reporter = lambda _: None) -> None:
        self._source = source
        self._reporter = reporter
        # who sets files back does so on purpose; and revisions begin anew with each process, so they prove nothing
        self._memory = MemoryStore(reporter, name=f"file:{source}", ages=False)
        self.leases = self._memory.leases
        self._stamp = _stamp(source)
        self._wishes: dict[str, Document] = {}
        self._take(load(source))
        self._polling: asyncio.Task[None] | None = None

    async def read(self, path: str) -> Stored:
        """See `Store.read`."""
        return await self._memory.read(path)

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """See `Store.write`; raise `InvalidInput` for what stands in the files."""
        for write in writes:
            if not write.path.startswith(_OURS):
                raise InvalidInput("path", write.path, f"edit {self._source}: this store is written by hand")
        return await self._memory.write(writes, lease)

    def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(), name="file store")
        return self._memory.watch(prefixes)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait((self._polling,))

    async def _poll(self) -> None:
        reported = False
        while True:
            await asyncio.sleep(POLL)
            stamp = _stamp(self._source)
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                self._take(load(self._source))
            except InvalidInput as error:
                reported = True
                self._reporter(StoreUnavailable(f"{error} (what was read before stays in force)"))
                continue
            if reported:
                reported = False
                self._reporter(None)

    def _take(self, wishes: dict[str, Document]) -> None:
        changed: dict[str, bytes | None] = dict.fromkeys(self._wishes.keys() - wishes.keys())
        for path, wish in wishes.items():
            if self._wishes.get(path) != wish:
                changed[path] = documents.encode(wish)
        self._memory.put_raw(changed)
        self._wishes = wishes


def _stamp(source: Path) -> tuple[tuple[str, int, int, int], ...]:
    try:
        return tuple((str(f), s.st_ino, s.st_size, s.st_mtime_ns) for f in files(source) for s in (f.stat(),))
    except (InvalidInput, OSError):
        return ()
