# SPDX-License-Identifier: Apache-2.0
"""Statuses: what this node has observed, written to the store as one small document each.

Level-triggered: the truth is held here, the store's copy in the snapshot, and
whatever differs is written, in order of change, until it does not differ. A store
that is away delays reports and loses none. The tricky thing is an agent's start: what
the one before it said stands until this one has looked, for silence would be taken for
its word that nothing is announced.
"""

import asyncio
from collections.abc import Callable, Mapping

from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.model.status import AddressStatus, Witness, WorkloadStatus
from buoy.store.store import Store, Write

_AT_ONCE = 100
_PAUSE = 1.0


class Reports:
    """The statuses of one node on their way to the store; `refused` hears, once, why the store takes none."""

    def __init__(self, store: Store, refused: Callable[[InvalidInput], None] = lambda _: None) -> None:
        self._store = store
        self._refused = refused
        self._refusal = ""
        self._truth: dict[str, Document] = {}
        self._written: dict[str, Document] = {}
        self._differs: dict[str, None] = {}
        self._has_looked = False
        self._woken = asyncio.Event()

    def say(self, status: AddressStatus | WorkloadStatus) -> None:
        """Report a status, if it is news."""
        path = documents.path(status)
        self._truth[path] = status
        self._compare(path)

    def forget(self, path: str) -> None:
        """Report no longer: the address or workload has left this node."""
        self._truth.pop(path, None)
        self._compare(path)

    def looked(self) -> None:
        """Hear that all was looked at once, or went with a former boot: what is not said since is said no more."""
        if not self._has_looked:
            self._has_looked = True
            for path in self._written:
                self._compare(path)

    def heard(self, paths: Mapping[str, Document | None], *, complete: bool = False) -> None:
        """Hear what the store now has under status paths of this node; None: nothing; `complete`: and no others."""
        if complete:
            paths = {**dict.fromkeys(self._written), **paths}
        for path, document in paths.items():
            if document is None or isinstance(document, Witness):
                self._written.pop(path, None)
            else:
                self._written[path] = document
            if self._has_looked or path in self._truth:
                self._compare(path)

    def known(self, path: str) -> Document | None:
        """Return what was last reported under a path."""
        return self._truth.get(path)

    @property
    def statuses(self) -> Mapping[str, Document]:
        """All current statuses by path."""
        return self._truth

    @property
    def waiting(self) -> bool:
        """Whether the store does not have the truth yet."""
        return bool(self._differs)

    def _compare(self, path: str) -> None:
        if self._truth.get(path) == self._written.get(path):
            self._differs.pop(path, None)
        else:
            self._differs[path] = None
            self._woken.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._differs:
                if not await self._write(tuple(self._differs)[:_AT_ONCE]):
                    await asyncio.sleep(_PAUSE)

    async def _write(self, paths: tuple[str, ...]) -> bool:
        batch = {path: self._truth.get(path) for path in paths}
        try:
            await self._store.write([Write(path, document, None) for path, document in batch.items()])
        except (StoreUnavailable, Conflict):
            return False
        except InvalidInput as error:
            # our account lacks a right, or a certificate is being replaced: that may be put right any moment
            if str(error) != self._refusal:
                self._refusal = str(error)
                self._refused(error)
            return False
        self._refusal = ""
        self.heard(batch)
        return True
