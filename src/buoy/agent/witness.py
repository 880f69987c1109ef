# SPDX-License-Identifier: Apache-2.0
"""The witness: one document of this node's own, by which a store set back to a backup is told (`belief.py`).

Promises that no kill and no lost write is ever taken for a setback: what counts is
the witness as the watch has told it, so the store had it before the disk knows of it.
It is written only where it stands as it was told: a write of a former agent that
arrives late, or in a store set back meanwhile, changes nothing and so hides nothing.

The tricky thing is what a doubt without cause would cost: additions go on, removals
that nobody spoke of wait for a person. So whatever is uncertain is taken for no
setback, but for a witness that is gone: nobody but this agent writes there, so a
store without it was set back to before it, or edited by hand while nobody listened.

Not covered: what came to this node within the last `PAUSE` seconds and a bit before
it was killed, if the backup is from that very moment, and others wrote meanwhile.
"""

import contextlib
import time
from collections.abc import Callable

from buoy.agent.caution import Caution
from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import BuoyError
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import Witness
from buoy.store.store import Store, Write

PAUSE = 5.0
"""Seconds between two writes at least, however many changes there are."""


def witness_path(node: str) -> str:
    """Return where a node's witness stands."""
    return documents.path(Witness(node=node))


def identity(snapshot: Snapshot, node: str) -> Identity:
    """Return which store spoke, how far it had come, and what it knew of this node's witness."""
    told = snapshot.identity
    return Identity(told.store, told.revision, snapshot.revisions.get(witness_path(node), 0))


def spoken(batch: Batch) -> frozenset[str]:
    """Return of which documents a writer spoke: not of a claim that is written again because the store had lost it."""
    documents = batch.snapshot.documents
    lost = {path for path in batch.changed or () if _is_lost(documents.get(path))}
    return (batch.changed or frozenset()) - lost


def _is_lost(document: Document | None) -> bool:
    return isinstance(document, ServiceIP) and document.lost


class Witnessing:
    """Keeps one node's witness as new as what the node relies on; `renew` is called every second."""

    def __init__(self, store: Store, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._not_before = 0.0

    async def renew(self, caution: Caution, snapshot: Snapshot | None) -> None:
        """Write the witness if the store could lose unseen what matters; an outage is for the watch to tell."""
        if snapshot is None or not caution.unwitnessed or self._clock() < self._not_before:
            return
        self._not_before = self._clock() + PAUSE
        path = witness_path(self._node)
        expected = None if path in snapshot.broken else snapshot.revisions.get(path, 0)
        witness = Witness(node=self._node, revision=snapshot.identity.revision)
        # Conflict: what was written is on its way to us, or the store is not the one that told us
        with contextlib.suppress(BuoyError):
            await self._store.write([Write(path, witness, expected)])
