# SPDX-License-Identifier: Apache-2.0
"""Programs that only read, run beside the loop, one after another.

Promises never to wait for them: the end of each makes `poll` readable. The tricky
thing: they write into memory, not into a pipe, so that none is held up by who does
not read, nor wakes anybody before it is done.
"""

import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from buoy.model.errors import DataplaneError

PATIENCE = 10.0
"""Seconds after which a program that has not ended is ended."""


class _Running(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]
    memory: int
    ended: int
    deadline: float


class Reading:
    """What some programs print, in the network namespace of the thread that calls; close it in any case."""

    def __init__(self, commands: Iterable[Sequence[str]], poll: select.epoll) -> None:
        self._commands = deque(commands)
        self._poll = poll
        self._running: _Running | None = None
        self._texts: list[bytes] = []

    @property
    def deadline(self) -> float:
        """Until when to wait, on the clock `time.monotonic`."""
        return self._running.deadline if self._running else 0.0

    def go_on(self) -> list[bytes] | None:
        """Return what each has printed once all have ended, else None; raise `DataplaneError` if one fails."""
        while self._running or self._commands:
            if self._running is None:
                self._running = self._start(self._commands.popleft())
            printed = _printed(self._running)
            if printed is None:
                return None
            self._texts.append(printed)
            self.close()
        return self._texts

    def close(self) -> None:
        """End what runs, and forget it."""
        if self._running is None:
            return
        _, process, memory, ended, _ = self._running
        self._running = None
        if process.poll() is None:
            process.kill()
            process.wait()
        self._poll.unregister(ended)
        os.close(ended)
        os.close(memory)

    def _start(self, command: Sequence[str]) -> _Running:
        name = command[0]
        memory = os.memfd_create(name)
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=memory, stderr=subprocess.STDOUT)
        except OSError as error:
            os.close(memory)
            raise DataplaneError(name, f"cannot be run: {error.strerror}") from error
        ended = os.pidfd_open(process.pid)
        self._poll.register(ended, select.EPOLLIN)
        return _Running(name, process, memory, ended, time.monotonic() + PATIENCE)


def _printed(running: _Running) -> bytes | None:
    code = running.process.poll()
    if code is None:
        if time.monotonic() < running.deadline:
            return None
        raise DataplaneError(running.name, f"did not end within {PATIENCE:g} seconds")
    text = os.pread(running.memory, os.fstat(running.memory).st_size, 0)
    if code:
        said = text.decode(errors="replace").strip().rpartition("\n")[2]
        raise DataplaneError(running.name, f"ended with {code}: {said}")
    return text
