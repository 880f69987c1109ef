# SPDX-License-Identifier: Apache-2.0
"""The drainer: from outbox rows to documents in the store.

Promises: after a row's commit the store gets what the database says, at least
once, in no particular order, whoever drains and however often one is killed.
The order that makes it so: revisions from the store first, then the database,
then one compare-and-set, then delete the rows. A drainer with an older view of
the database has an older revision too, and loses. Rows taken together are
written together, so an address that moves is never nowhere or in two places.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
from oslo_log import log

from buoy.model.documents import Document
from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.neutron.reader import Wanted
from buoy.neutron.table import Taken
from buoy.store.store import Store, Stored, Write

LOG = log.getLogger(__name__)

MOST_PATHS = 100
"""Documents in one transaction; etcd takes 128."""

_PAUSE_AFTER_CONFLICT = 0.02
_ACCOUNT = frozenset({"username", "password_file", "ca", "cert", "key"})
"""Fields of refusals that are about us and not about a document."""

Unchanged: TypeAlias = Callable[[Mapping[str, int]], None]
"""Hears which paths already held what the database says, and since which revision."""


class Outbox(Protocol):
    """The rows; see `table.py`."""

    def take(self, most_rows: int) -> Taken:
        """Return the oldest rows."""

    def delete(self, ids: Collection[int]) -> None:
        """Delete these rows."""


class Drainer:
    """Writes what rows name; `read` is `Reader.read`."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        read: Callable[[Collection[str]], Wanted],
        unchanged: Unchanged = lambda _: None,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._read = read
        self._unchanged = unchanged

    async def drain(self) -> int:
        """Settle the rows; return how many documents were written. Raises `StoreUnavailable`; the rows stay."""
        written = 0
        while True:
            taken = await asyncio.to_thread(self._outbox.take, MOST_PATHS)
            if not taken.ids:
                return written
            for start in range(0, len(taken.paths), MOST_PATHS):
                written += await self._settle(taken.paths[start : start + MOST_PATHS])
            await asyncio.to_thread(self._outbox.delete, taken.ids)
            if not taken.more:
                # whoever committed a row meanwhile wakes the drainer again
                return written

    async def _settle(self, paths: Sequence[str]) -> int:
        while True:
            writes = await self._decide(paths)
            try:
                return await self._write(writes)
            except Conflict:
                await asyncio.sleep(_PAUSE_AFTER_CONFLICT)

    async def _decide(self, paths: Sequence[str]) -> list[Write]:
        stored = dict(zip(paths, await asyncio.gather(*map(self._stored, paths)), strict=True))
        wanted = await asyncio.to_thread(self._read, paths)
        writes = []
        for path in paths:
            document = wanted[path]
            if isinstance(document, InvalidInput):
                LOG.error("%s stays as it is in the store: %s", path, document)
            else:
                writes += _difference(path, stored[path], document)
        written = {write.path for write in writes}
        self._unchanged({path: held.revision for path, held in stored.items() if held and path not in written})
        return writes

    async def _stored(self, path: str) -> Stored | None:
        """None: what stands there is no document, so whatever it is, it is overwritten."""
        try:
            return await self._store.read(path)
        except InvalidInput as error:
            _wait_for_rights(error)
            return None

    async def _write(self, writes: list[Write]) -> int:
        if not writes:
            return 0
        try:
            await self._store.write(writes)
        except InvalidInput as error:
            _wait_for_rights(error)
            if len(writes) > 1:
                # one document the store will never take must not hold back the others
                return sum([await self._write([write]) for write in writes])
            LOG.error("%s is refused by the store: %s", writes[0].path, error)  # noqa: TRY400
            return 0
        return len(writes)


def _wait_for_rights(error: InvalidInput) -> None:
    """Raise `StoreUnavailable` for what is refused to our account: the rows stay until it has its rights."""
    if error.field in _ACCOUNT:
        raise StoreUnavailable(str(error)) from error


def _difference(path: str, stored: Stored | None, document: Document | None) -> list[Write]:
    if stored is None:
        return [Write(path, document, None)]
    if same(stored.document, document):
        return []
    return [Write(path, document, stored.revision)]


def same(one: Document | None, other: Document | None) -> bool:
    """Tell whether two documents say the same; their Neutron revision alone is no news, for statuses move it too."""
    return bool(_without_revision(one) == _without_revision(other))


def _without_revision(document: Document | None) -> Any:
    if document is None or "revision" not in document.__struct_fields__:
        return document
    return msgspec.structs.replace(document, revision=0)
