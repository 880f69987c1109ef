# SPDX-License-Identifier: Apache-2.0
"""The memory store's own: an outage played, a broken client played."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from buoy.model.errors import StoreUnavailable
from buoy.model.node import Fence
from buoy.model.snapshot import Batch
from buoy.store.memory import MemoryStore
from buoy.store.store import Write, covering
from tests.store.watching import Reports

FENCE = Write("fences/compute-1", Fence(node="compute-1"))


async def test_while_away_every_call_is_refused_and_a_watch_waits_and_reports() -> None:
    reports = Reports()
    store = MemoryStore(reports)
    store.away = True
    batches = cast("AsyncGenerator[Batch, None]", store.watch([""]))
    first = asyncio.ensure_future(anext(batches))
    await reports.heard(1)
    with pytest.raises(StoreUnavailable):
        await store.read("fences/compute-1")
    with pytest.raises(StoreUnavailable):
        await store.write([FENCE])
    with pytest.raises(StoreUnavailable):
        await store.leases.grant(1)
    store.away = False
    assert (await first).changed is None
    assert reports.all[-1] is None
    await batches.aclose()


async def test_a_broken_client_is_seen_as_the_real_store_would_show_it() -> None:
    store = MemoryStore()
    batches = cast("AsyncGenerator[Batch, None]", store.watch([""]))
    await anext(batches)
    store.put_raw({"pools/a": b"{"})
    batch = await anext(batches)
    assert (batch.changed, set(batch.snapshot.broken)) == (frozenset({"pools/a"}), {"pools/a"})
    await batches.aclose()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["status/", "status/compute-1/"], ("status/",)),
        (["pools/", "", "members/"], ("",)),
        (["pools/", "pools/"], ("pools/",)),
        (["b/", "a/"], ("a/", "b/")),
    ],
)
def test_a_prefix_that_another_covers_is_not_watched_twice(given: list[str], kept: tuple[str, ...]) -> None:
    assert covering(given) == kept
