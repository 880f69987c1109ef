# SPDX-License-Identifier: Apache-2.0
"""What is due when: moments, soonest first."""

import datetime as dt
import heapq
from typing import Generic, TypeVar

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
