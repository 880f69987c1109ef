# SPDX-License-Identifier: Apache-2.0
"""The loop: when a pass runs. One thread, one pass at a time.

Whatever happens only wakes the loop and is added to what the next pass looks
at; a pass that fails is run again after a growing pause over everything, for
nothing is remembered but the wish to look again.
"""

import asyncio
from typing import Protocol

from buoy.model.errors import Bug

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


class Work(Protocol):
    """What the loop drives."""

    def run_pass(self) -> float | None:
        """Run one pass over what is pending; return in how many seconds to run again unwoken, None for never."""

    def failed(self, error: Exception) -> None:
        """Hear that the pass raised; the next one looks at everything."""


class Loop:
    """Wakes `work` when told to, when its own timer ends, and after a failure."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._woken = asyncio.Event()
        self._pause = 0.0

    def wake(self) -> None:
        """Ask for a pass; several calls before it runs are one."""
        self._woken.set()

    async def run(self) -> None:
        """Run passes until cancelled; a `Bug` ends the process, for its next start is a clean one."""
        delay: float | None = 0.0
        while True:
            await self._wait(delay)
            self._woken.clear()
            delay = self._one()

    async def _wait(self, delay: float | None) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), delay)
        except TimeoutError:
            return
        # a failing pass must not be driven in a circle by the very events it causes
        if self._pause:
            await asyncio.sleep(self._pause)

    def _one(self) -> float | None:
        try:
            delay = self._work.run_pass()
        except Bug:
            raise
        except Exception as error:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._work.failed(error)
            return self._pause
        self._pause = 0.0
        return delay
