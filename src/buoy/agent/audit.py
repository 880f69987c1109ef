# SPDX-License-Identifier: Apache-2.0
"""The audit: everything is read afresh now and then, for not all that happens to a host is told.

Promises that a change waits for one part of it at most, however much a node holds: a
part with each pass, and time for others between two. What differs comes as a
disturbance and is repaired as such; a pass over everything is an audit, too.
"""

import math
from collections.abc import Iterator

from buoy.dataplane.driver import Afresh
from buoy.model.nodestate import Key, NodeState, Table

_BREATH = 0.1
"""Seconds between two parts: a change that waited for one is done before the next."""


class Audit:
    """When the host is read afresh; times are in seconds of one clock."""

    def __init__(self, host: Afresh) -> None:
        self.interval = 60.0
        self._host = host
        self._due = -math.inf
        self._parts: Iterator[frozenset[Key]] | None = None

    def begins(self, now: float) -> bool:
        """Tell whether one begins with this turn."""
        return self._parts is None and now >= self._due

    def turn(self, wanted: NodeState, now: float) -> tuple[frozenset[Key], bool]:
        """Read the next part if one is due; return which keys to look at for that, and whether it was the last."""
        if self.begins(now):
            self._parts = self._host.parts()
        if self._parts is None:
            return frozenset(), False
        part = next(self._parts, None)
        if part is not None:
            return part, False
        self.over(now)
        return frozenset(key for key in wanted if key.table is Table.DHCP), True

    def over(self, now: float) -> None:
        """Hear that everything has been read: this audit is over, the next one an interval away."""
        self._parts, self._due = None, now + self.interval

    def wait(self, now: float) -> float:
        """Return in how many seconds there is something to do."""
        return max(0.0, self._due - now) if self._parts is None else _BREATH
