# SPDX-License-Identifier: Apache-2.0
"""When the responder speaks: unsolicited advertisements in turn, and no guest more than its share.

Promises: pure bookkeeping over `now`, in seconds of any clock that does not jump.
Tricky: there is no randomness. Interfaces come at their own moments and keep their
distance; those that were there at the start are spread by working off a few at a time.
"""

import heapq

from buoy.render.dhcp_ra import INTERVAL


class Schedule:
    """Interfaces with the moment of their next advertisement."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def put(self, interface: str, due: float) -> None:
        """Advertise on an interface at `due` rather than when it was planned."""
        self._due[interface] = due
        heapq.heappush(self._heap, (due, interface))

    def drop(self, interface: str) -> None:
        """Advertise on this interface no more."""
        self._due.pop(interface, None)

    def take(self, now: float, most: int) -> list[str]:
        """Return at most `most` interfaces that are due, and plan the next time of each."""
        taken: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(taken) < most:
            due, interface = heapq.heappop(self._heap)
            if self._due.get(interface) == due:
                taken.append(interface)
                self.put(interface, now + INTERVAL)
        return taken

    def wait(self, now: float) -> float | None:
        """Return the seconds until somebody is due, None if nobody ever is."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - now) if self._heap else None


class Allowance:
    """A token bucket per interface: a guest that floods us is answered at `rate` a second, the others as ever."""

    def __init__(self, rate: float = 50.0, burst: float = 100.0) -> None:
        self._rate = rate
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, interface: str, now: float) -> bool:
        """Tell whether a request of this interface is still within its share, and count it."""
        left, since = self._left.get(interface, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        self._left[interface] = (max(0.0, left - 1), now)
        return left >= 1

    def drop(self, interface: str) -> None:
        """Forget an interface."""
        self._left.pop(interface, None)
