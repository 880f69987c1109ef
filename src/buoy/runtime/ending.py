# SPDX-License-Identifier: Apache-2.0
"""How a process of ours ends: by a signal, or with the first of its tasks that ends or fails; then all of them do."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Iterator
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def signals(stopped: asyncio.Event) -> Iterator[None]:
    """Set an event at SIGTERM and SIGINT while the block lasts."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def first(*works: Awaitable[Any]) -> None:
    """Run all until one ends or fails; end the others, and raise what it failed with."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
