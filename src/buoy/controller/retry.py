# SPDX-License-Identifier: Apache-2.0
"""When what failed is tried again: each object after a pause of its own that grows, all after an outage.

Promises that an object is not tried during its pause, however often it changes, and
that an API server that is away is asked by a few, and soon after it is back by all.
"""

import datetime as dt

from buoy.controller.endings import Endings
from buoy.model.service_ip import Identity

FIRST, LAST = 0.05, 30.0
"""Seconds of an object's first pause, and of the longest."""
AWAY = 1.0
"""Seconds between attempts while the API server is away."""


class Retry:
    """The pauses of objects."""

    def __init__(self) -> None:
        self._until: dict[Identity, dt.datetime] = {}
        self._pause: dict[Identity, float] = {}
        self._endings: Endings[Identity] = Endings()
        self._away: dt.datetime | None = None

    def later(self, identity: Identity, now: dt.datetime) -> None:
        """Begin a pause, twice as long as the one before it."""
        pause = min(self._pause.get(identity, FIRST / 2) * 2, LAST)
        self._pause[identity] = pause
        self._until[identity] = now + dt.timedelta(seconds=pause)
        self._endings.add(self._until[identity], identity)

    def at(self, identity: Identity, until: dt.datetime) -> None:
        """Begin a pause that ends at a moment."""
        self._until[identity] = until
        self._endings.add(until, identity)

    def away(self, now: dt.datetime) -> None:
        """Begin a pause of all."""
        self._away = now + dt.timedelta(seconds=AWAY)

    def is_away(self, now: dt.datetime) -> bool:
        """Tell whether nothing is to be tried now."""
        return self._away is not None and now < self._away

    def done(self, identity: Identity) -> None:
        """Forget an object's failures."""
        self._pause.pop(identity, None)
        self._until.pop(identity, None)

    def waits(self, identity: Identity, now: dt.datetime) -> bool:
        """Tell whether an object is in a pause."""
        until = self._until.get(identity)
        return until is not None and now < until

    def due(self, now: dt.datetime) -> list[Identity]:
        """Return the objects whose pause has ended, once."""
        return [identity for identity in self._endings.ended(now) if identity in self._until]

    def next(self, now: dt.datetime) -> dt.datetime | None:
        """Return when the next pause ends."""
        return self._away if self.is_away(now) else self._endings.next()
