# SPDX-License-Identifier: Apache-2.0
"""View: documents by path, kept from raw bytes and handed out as snapshots.

Promises: a batch costs what changed, not what is held; a document that cannot be
read leaves its last readable version in force and is told in `broken`. The tricky
thing is the relisting after an outage: a path counts as changed only if it is,
and if the source is *suspect* (another store, or one set back to a backup) equal
revisions prove nothing and bytes are compared by what they say.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.snapshot import Identity, Snapshot


class Event(NamedTuple):
    """What a source says of one path: its bytes, None if deleted, and the store revision of that."""

    path: str
    raw: bytes | None
    revision: int


class View:
    """The documents of one watch; `snapshot` shows them live, without a copy."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._revisions: dict[str, int] = {}
        self._broken: dict[str, str] = {}
        self._seen: dict[str, int] = {}

    def apply(self, events: Iterable[Event]) -> frozenset[str]:
        """Take events in the order of their revisions; return the paths they touched."""
        changed = set()
        for event in events:
            changed.add(event.path)
            if event.raw is None:
                self._forget(event.path)
            else:
                self._take(event.path, event.raw, event.revision)
        return frozenset(changed)

    def replace(self, listing: Iterable[Event], *, suspect: bool = False) -> frozenset[str]:
        """Become exactly this listing; return the paths that differ from before, deletions included.

        `suspect`: the same revision may mean another document, since the source is another or an older one.
        """
        gone = set(self._seen)
        changed = set()
        for path, raw, revision in listing:
            gone.discard(path)
            if raw is not None and (suspect or self._seen.get(path) != revision):
                before = self._documents.get(path), self._revisions.get(path), self._broken.get(path)
                self._take(path, raw, revision)
                after = self._documents.get(path), self._revisions.get(path), self._broken.get(path)
                if before != after:
                    changed.add(path)
        for path in gone:
            self._forget(path)
        return frozenset(changed | gone)

    def snapshot(self, identity: Identity) -> Snapshot:
        """Return what is held: read-only mappings onto the live content, which the next call of `apply` changes."""
        return Snapshot(
            identity=identity,
            documents=MappingProxyType(self._documents),
            revisions=MappingProxyType(self._revisions),
            broken=MappingProxyType(self._broken),
        )

    def _take(self, path: str, raw: bytes, revision: int) -> None:
        self._seen[path] = revision
        try:
            document = documents.decode(path, raw)
        except InvalidInput as error:
            self._broken[path] = str(error)
            return
        self._documents[path] = document
        self._revisions[path] = revision
        self._broken.pop(path, None)

    def _forget(self, path: str) -> None:
        self._documents.pop(path, None)
        self._revisions.pop(path, None)
        self._broken.pop(path, None)
        self._seen.pop(path, None)
