# SPDX-License-Identifier: Apache-2.0
"""What a log hears of a store that is away: each thing said once, and again after a while, not with each attempt.

The tricky thing is how many try: a watch for each resource, again and again, all in the same words.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from prometheus_client import Gauge

from buoy.model.errors import StoreUnavailable

AGAIN = 60.0
"""Seconds until the same words are told again."""


class Words(NamedTuple):
    """What is away, and what that means here."""

    what: str
    meanwhile: str


class Outages:
    """A `Reporter` that tells a log and a gauge."""

    def __init__(
        self, log: structlog.stdlib.BoundLogger, up: Gauge, words: Words, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._up = up
        self._what, self._meanwhile = words
        self._clock = clock
        self._told: dict[str, float] = {}
        self._is_away = False

    def __call__(self, error: StoreUnavailable | None) -> None:
        """Hear of a failed attempt, or that the store answers."""
        self._up.set(error is None)
        if error is not None:
            self._away(str(error))
        elif self._is_away:
            self._is_away = False
            self._told = {}
            self._log.info(f"{self._what} answers")

    def _away(self, words: str) -> None:
        now = self._clock()
        self._told = {said: at for said, at in self._told.items() if now - at < AGAIN}
        if words not in self._told:
            self._told[words] = now
            self._is_away = True
            self._log.warning(f"{self._what} away", error=words, meanwhile=self._meanwhile)
