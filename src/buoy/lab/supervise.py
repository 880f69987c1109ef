# SPDX-License-Identifier: Apache-2.0
"""Services: started in order, restarted when they crash, stopped when a person says so.

Decides nothing about machines: `Spawn` starts a process on a node and the
lab's first process tells `Supervisor.ended` which process ended, because only
one place in a process may collect its children. A service killed by a person
stays dead until it is started, so that a test can look at the world without it.
"""

import asyncio
import contextlib
import enum
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from buoy.lab.topology import Service

_FIRST_DELAY, _LONGEST_DELAY, _STEADY = 0.1, 5.0, 10.0
"""Seconds: first and longest wait before a restart, and how long a service must run to be trusted again."""
_STOP_SECONDS = 5.0
_POLL = 0.02

Spawn = Callable[[str, Service], int]
"""Start a node's service in a process group of its own and return its process id."""

Probe = Callable[["Unit"], Awaitable[bool]]
"""Tell whether a unit may start (before its process runs) or is ready (while it runs)."""


class Stage(enum.StrEnum):
    """Where a service is on its way."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"
    CRASHED = "crashed"
    STOPPED = "stopped"
    KILLED = "killed"


class Unit(msgspec.Struct, kw_only=True):
    """One service on one node and what became of it; `since` is Unix time in seconds."""

    node: str
    service: Service
    stage: Stage = Stage.WAITING
    process: int = 0
    group: int = 0
    """The process group of the last process, which may have left children behind."""
    restarts: int = 0
    since: float = 0.0
    exit_code: int | None = None

    @property
    def key(self) -> str:
        """The name other services wait for: ``node/service``."""
        return f"{self.node}/{self.service.name}"

    @property
    def is_ready(self) -> bool:
        """Whether those that wait for it may go on."""
        return self.stage is Stage.READY or (self.service.quick and self.stage is Stage.ENDED)

    def enter(self, stage: Stage) -> None:
        """Go to a stage, now."""
        self.stage, self.since = stage, time.time()


class Supervisor:
    """Keeps units running; one task per unit."""

    def __init__(self, spawn: Spawn, probe: Probe) -> None:
        self._spawn = spawn
        self._probe = probe
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._endings: dict[int, asyncio.Future[int]] = {}
        self.units: dict[str, Unit] = {}

    def add(self, node: str, service: Service) -> None:
        """Take a service on; `start` starts it."""
        unit = Unit(node=node, service=service)
        self.units[unit.key] = unit

    def start(self, key: str) -> None:
        """Start a unit unless it runs already; raise KeyError if there is none of that name."""
        unit = self.units[key]
        task = self._tasks.get(key)
        if task is None or task.done():
            unit.enter(Stage.WAITING)
            self._tasks[key] = asyncio.create_task(self._keep(unit), name=key)

    async def stop(self, key: str) -> None:
        """End a unit with SIGTERM, after five seconds with SIGKILL, and do not restart it."""
        unit = self.units[key]
        await self._release(unit)
        if unit.process:
            _signal(unit.process, signal.SIGTERM)
            await asyncio.wait([self._endings[unit.process]], timeout=_STOP_SECONDS)
            _signal_group(unit.group, signal.SIGKILL)
            await self._collect(unit)
        unit.enter(Stage.STOPPED)

    async def kill(self, key: str) -> None:
        """End a unit with SIGKILL, only its own process, and do not restart it."""
        unit = self.units[key]
        await self._release(unit)
        if unit.process:
            _signal(unit.process, signal.SIGKILL)
            await self._collect(unit)
        unit.enter(Stage.KILLED)

    def ended(self, process: int, exit_code: int) -> None:
        """Hear that a process ended; strangers are ignored."""
        ending = self._endings.get(process)
        if ending is not None and not ending.done():
            ending.set_result(exit_code)

    async def _release(self, unit: Unit) -> None:
        task = self._tasks.pop(unit.key, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep(self, unit: Unit) -> None:
        delay = _FIRST_DELAY
        # only once: who starts it again wants to see it alone
        if not unit.group:
            await _until(partial(self._may_begin, unit))
        while True:
            began = time.monotonic()
            exit_code = await self._run_once(unit)
            if unit.service.quick and exit_code == 0:
                unit.enter(Stage.ENDED)
                return
            unit.enter(Stage.CRASHED)
            delay = _FIRST_DELAY if time.monotonic() - began > _STEADY else min(delay * 2, _LONGEST_DELAY)
            await asyncio.sleep(delay)
            unit.restarts += 1

    async def _run_once(self, unit: Unit) -> int:
        unit.enter(Stage.WAITING)
        await _until(partial(self._probe, unit))
        if unit.group:
            _signal_group(unit.group, signal.SIGKILL)
        unit.process = unit.group = self._spawn(unit.node, unit.service)
        ending = self._endings[unit.process] = asyncio.get_running_loop().create_future()
        unit.enter(Stage.STARTING)
        if not unit.service.quick:
            await _until(partial(self._ready_or_over, unit, ending))
            if not ending.done():
                unit.enter(Stage.READY)
        return await self._collect(unit)

    async def _may_begin(self, unit: Unit) -> bool:
        return all(self.units[key].is_ready for key in unit.service.after)

    async def _ready_or_over(self, unit: Unit, ending: "asyncio.Future[int]") -> bool:
        return ending.done() or await self._probe(unit)

    async def _collect(self, unit: Unit) -> int:
        # shielded: stopping cancels the task that waits, never the news itself
        exit_code = unit.exit_code = await asyncio.shield(self._endings[unit.process])
        del self._endings[unit.process]
        unit.process = 0
        return exit_code


async def _until(so: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await so():
            return
        await asyncio.sleep(_POLL)


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may end in the meantime
        os.kill(process, number)


def _signal_group(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody may be left in it
        os.killpg(process, number)
