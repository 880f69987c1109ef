# SPDX-License-Identifier: Apache-2.0
"""Which addresses nobody may have at a moment: those that somebody has, and those still held down.

Promises that the answer depends on what was blocked until when, and on the moment
asked for, alone. The tricky thing is time: it mostly goes forwards, where a heap of
endings costs nothing; where a clock went back, everything is looked at again.
"""

import datetime as dt
import heapq
from bisect import bisect_left, insort
from collections.abc import Sequence

from buoy.ipam.blocks import number
from buoy.model.address import Address, family


class Blocked:
    """Addresses as sorted numbers, by family, brought up to a moment."""

    def __init__(self) -> None:
        self._until: dict[Address, dt.datetime | None] = {}
        self._taken: dict[int, list[int]] = {4: [], 6: []}
        self._held: dict[int, list[int]] = {4: [], 6: []}
        self._endings: list[tuple[dt.datetime, Address]] = []
        self._at: dt.datetime | None = None
        self._freed: dict[int, int] = {}

    def block(self, at: Address, until: dt.datetime | None) -> None:
        """Block an address until a moment; None: until it is freed."""
        self._until[at] = until
        if self._at is None:
            return
        if until is not None:
            heapq.heappush(self._endings, (until, at))
        if until is not None and until <= self._at:
            self._drop(at)
            return
        _put(self._taken[family(at)], number(at))
        (_take if until is None else _put)(self._held[family(at)], number(at))

    def free(self, at: Address) -> None:
        """Free an address, whether it was blocked or not."""
        self._until.pop(at, None)
        if self._at is not None:
            self._drop(at)

    def taken(self, of_family: int, now: dt.datetime) -> Sequence[int]:
        """Return what is blocked at a moment, sorted."""
        if self._at is None or now < self._at:
            self._look_at_all(now)
        self._at = now
        while self._endings and self._endings[0][0] <= now:
            until, at = heapq.heappop(self._endings)
            if self._until.get(at) == until:
                self._drop(at)
        return self._taken[of_family]

    def held(self, of_family: int, now: dt.datetime) -> Sequence[int]:
        """Return what of `taken` is blocked until some moment only, sorted."""
        self.taken(of_family, now)
        return self._held[of_family]

    def freed(self, of_family: int) -> int | None:
        """Return the lowest address that became free since this was last asked, None if none did."""
        return self._freed.pop(of_family, None)

    def _look_at_all(self, now: dt.datetime) -> None:
        self._taken, self._held = {4: [], 6: []}, {4: [], 6: []}
        for at, until in self._until.items():
            if until is None or until > now:
                self._taken[family(at)].append(number(at))
                if until is not None:
                    self._held[family(at)].append(number(at))
        for numbers in (*self._taken.values(), *self._held.values()):
            numbers.sort()
        self._endings = [(until, at) for at, until in self._until.items() if until is not None]
        heapq.heapify(self._endings)

    def _drop(self, at: Address) -> None:
        of_family, of_number = family(at), number(at)
        _take(self._held[of_family], of_number)
        if _take(self._taken[of_family], of_number):
            self._freed[of_family] = min(of_number, self._freed.get(of_family, of_number))


def has(numbers: Sequence[int], of_number: int) -> bool:
    """Tell whether a number is among sorted ones."""
    place = bisect_left(numbers, of_number)
    return place < len(numbers) and numbers[place] == of_number


def _put(numbers: list[int], of_number: int) -> bool:
    new = not has(numbers, of_number)
    if new:
        insort(numbers, of_number)
    return new


def _take(numbers: list[int], of_number: int) -> bool:
    there = has(numbers, of_number)
    if there:
        del numbers[bisect_left(numbers, of_number)]
    return there
