# SPDX-License-Identifier: Apache-2.0
"""What is due when: moments, soonest first."""

import datetime as dt
import heapq
from typing import Generic, TypeVar

from buoy.ipam.ledger import Ledger
from buoy.model.pool import REMEMBER
from buoy.model.service_ip import ServiceIP

T = TypeVar("T")


class Endings(Generic[T]):
    """Things that end, each at its moment; who cares must look whether it still is so."""

    def __init__(self) -> None:
        self._heap: list[tuple[dt.datetime, int, T]] = []
        self._added = 0

    def add(self, at: dt.datetime, what: T) -> None:
        """Note when something ends."""
        self._added += 1
        heapq.heappush(self._heap, (at, self._added, what))

    def ended(self, now: dt.datetime) -> list[T]:
        """Return what has ended by now, once, in the order of its endings."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def next(self) -> dt.datetime | None:
        """Return when the next one ends, None if none does."""
        return self._heap[0][0] if self._heap else None


def remembered(document: ServiceIP, ledger: Ledger) -> dt.datetime:
    """Return until when a released claim is kept for its former owner, and because it is held down."""
    assert document.released is not None
    pool = ledger.pools.get(document.pool)
    seconds = max(pool.remember, pool.hold_down) if pool else REMEMBER
    return document.released + dt.timedelta(seconds=seconds)
