# SPDX-License-Identifier: Apache-2.0
"""The first process of a pod of Buoy's own: runs its containers' commands, as a container runtime and a kubelet do.

``pod_runner.py NAME UID ORDERS READY``. ORDERS is what `buoy.lab.pod_program.orders` returns, as JSON; the
file READY is there while every container runs and answers its probe. It runs without site packages.
"""

import asyncio
import http.client
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_PROBE_SECONDS, _AGAIN_SECONDS, _LONGEST_WAIT = 0.5, 1.0, 10.0


def main() -> None:
    """Run everything until SIGTERM."""
    _, _, orders, ready = sys.argv[1:]
    asyncio.run(_run(json.loads(Path(orders).read_text()), Path(ready)))


async def _run(orders: dict[str, Any], ready: Path) -> None:
    print("listening", flush=True)
    # nobody reads on: the one who started us may end before us
    os.dup2(2, 1)
    work = asyncio.create_task(_work(orders, ready))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    await asyncio.wait([work])
    ready.unlink(missing_ok=True)


async def _work(orders: dict[str, Any], ready: Path) -> None:
    for container in orders["init"]:
        await _succeed(container)
    running = [_Container(each) for each in orders["containers"]]
    tasks = [asyncio.create_task(each.keep()) for each in running]
    try:
        while True:
            if all([await each.is_ready() for each in running]):
                ready.touch()
            else:
                ready.unlink(missing_ok=True)
            await asyncio.sleep(_PROBE_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(each.end() for each in running))


async def _succeed(container: dict[str, Any]) -> None:
    while await (await _start(container)).wait():
        print(f"{container['name']} failed", flush=True)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _start(container: dict[str, Any]) -> asyncio.subprocess.Process:
    # what the person who built the lab had set is no business of a pod's
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "BUOY_"))}
    environment = {**ours, **container["environment"]}
    return await asyncio.create_subprocess_exec(
        *container["command"], env=environment, stdin=asyncio.subprocess.DEVNULL
    )


class _Container:
    """One container: started again when it ends, until it is told to end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        wait = 0.5
        while True:
            self._process = await _start(self._orders)
            code = await self._process.wait()
            print(f"{self._orders['name']} ended with {code}", flush=True)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def is_ready(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        return not self._orders["probe"] or await asyncio.to_thread(_answers, *self._orders["probe"])

    async def end(self) -> None:
        if self._orders["before_end"]:
            hook = {**self._orders, "command": self._orders["before_end"]}
            await (await _start(hook)).wait()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < http.client.BAD_REQUEST
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
