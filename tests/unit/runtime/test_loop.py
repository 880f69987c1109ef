# SPDX-License-Identifier: Apache-2.0
"""The loop runs one pass at a time, wakes on demand, and pauses longer after each failure."""

import asyncio

import pytest

from buoy.model.errors import Bug, DataplaneError
from buoy.runtime.loop import Loop


class Script:
    """Work whose passes are scripted: a delay to return or an error to raise, the last one for ever."""

    def __init__(self, *acts: float | Exception | None) -> None:
        self.acts = list(acts)
        self.passes = 0
        self.errors: list[Exception] = []

    def run_pass(self) -> float | None:
        self.passes += 1
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if isinstance(act, Exception):
            raise act
        return act

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


async def passes(script: Script, wakes: int = 0) -> int:
    loop = Loop(script)
    task = asyncio.create_task(loop.run())
    for _ in range(wakes):
        await asyncio.sleep(0.01)
        loop.wake()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return script.passes


def test_a_pass_runs_at_start_and_then_only_when_woken() -> None:
    assert asyncio.run(passes(Script(None))) == 1
    assert asyncio.run(passes(Script(None), wakes=3)) == 4


def test_a_pass_that_asks_for_time_runs_again_unwoken() -> None:
    assert asyncio.run(passes(Script(0.001, 0.001, None))) == 3


def test_a_failure_is_told_and_tried_again_later() -> None:
    refused = DataplaneError("ip route add", "no such device")
    script = Script(refused, None)
    assert asyncio.run(passes(script)) == 1
    assert script.errors == [refused]


def test_events_do_not_shorten_the_pause_after_a_failure() -> None:
    script = Script(DataplaneError("nft", "busy"), None)
    assert asyncio.run(passes(script, wakes=3)) == 1


def test_a_bug_ends_the_loop() -> None:
    with pytest.raises(Bug):
        asyncio.run(Loop(Script(Bug("impossible"))).run())
