# SPDX-License-Identifier: Apache-2.0
"""The first process of a lab: builds the machines, keeps the services, answers on the control socket.

Runs as process 1 of the lab's own namespaces, so whatever ends it ends all of
the lab. Until it is told to stay, it also ends when the process that started it
ends: an interrupted ``lab up`` leaves nothing.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from buoy.lab import control, switch, topology
from buoy.lab.command import run
from buoy.lab.world import World
from buoy.model.errors import BuoyError

STAY = b"stay\n"
"""What the starter says once it has seen the lab ready."""

_CRASHES = 4
"""So many crashes of a service that never was ready end the attempt: waiting longer would tell nothing new."""


def main() -> None:
    """Be the first process of a lab."""
    parser = argparse.ArgumentParser(prog="buoy.lab.init")
    parser.add_argument("lab", type=Path)
    parser.add_argument("--starter", type=int, required=True, help="descriptor of a socket to the starter")
    parser.add_argument("--relay", type=int, action="append", default=[], help="descriptor of a listening socket")
    options = parser.parse_args()
    starter = socket.socket(fileno=options.starter)
    try:
        asyncio.run(_live(options.lab, starter, options.relay))
    except (BuoyError, OSError) as error:
        _tell(starter, failed=str(error))
        sys.exit(1)


async def _live(lab: Path, starter: socket.socket, relays: list[int]) -> None:
    loop = asyncio.get_running_loop()
    ending = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, ending)
    store = lab / "fs"
    store.mkdir(exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(store)])
    world = World(lab, store, topology.read((lab / "topology.json").read_bytes()))
    loop.add_signal_handler(signal.SIGCHLD, world.collect)
    watcher = asyncio.create_task(_until_told_to_stay(starter, ending))
    world.build(lambda message: _tell(starter, doing=message))
    control_task = asyncio.create_task(control.serve(lab, world.handlers()))
    for descriptor, target in zip(relays, world.topology.relays.values(), strict=True):
        await switch.relay(socket.socket(fileno=descriptor), *target)
    world.start_services()
    announcer = asyncio.create_task(_announce(world, starter))
    await ending
    for task in (watcher, control_task, announcer):
        task.cancel()


async def _announce(world: World, starter: socket.socket) -> None:
    """Tell the starter of each service that becomes ready, and in the end that all are."""
    told: set[str] = set()
    while True:
        ready = {unit.key for unit in world.supervisor.units.values() if unit.is_ready}
        for key in sorted(ready - told):
            _tell(starter, ready=key)
        told |= ready
        required = [unit for unit in world.supervisor.units.values() if not unit.service.optional]
        if all(unit.is_ready for unit in required):
            _tell(starter, up=True)
            return
        hopeless = [unit.key for unit in required if unit.restarts >= _CRASHES]
        if hopeless:
            _tell(starter, failed=f"{', '.join(hopeless)} crashed {_CRASHES} times", crashed=hopeless)
            return
        await asyncio.sleep(0.02)


async def _until_told_to_stay(starter: socket.socket, ending: "asyncio.Future[None]") -> None:
    starter.setblocking(False)
    try:
        word = await asyncio.get_running_loop().sock_recv(starter, len(STAY))
    except ConnectionResetError:
        word = b""  # it went away with our news unread
    if word != STAY:
        _end(ending)


def _end(ending: "asyncio.Future[None]") -> None:
    if not ending.done():
        ending.set_result(None)


def _tell(starter: socket.socket, **news: object) -> None:
    with contextlib.suppress(OSError):  # that the starter has gone is noticed elsewhere
        starter.send(msgspec.json.encode(news) + b"\n")


if __name__ == "__main__":
    os.umask(0o022)
    main()
