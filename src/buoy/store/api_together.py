# SPDX-License-Identifier: Apache-2.0
"""Several informers as one: nothing before all have listed, then everything that is ready at once.

Promises: the first yield holds a complete list of each resource; what comes while
the last yield is still being worked on is told together, each object once, as it is
now. The tricky thing: of two versions of an object the later wins, but a version
that cannot be read does not take away the one before it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from buoy.model.errors import Bug
from buoy.store.api_informer import Informer
from buoy.store.api_names import Resource
from buoy.store.api_objects import News


async def together(informers: Sequence[Informer[Any]]) -> AsyncIterator[Mapping[Resource, News[Any]]]:
    """Yield the news of informers by resource: first of all of them, complete, then of those that have some.

    Each informer is of another resource, and followed until the iterator is closed.
    """
    if len({informer.resource for informer in informers}) < len(informers):
        raise Bug("two informers of one resource")
    ready: dict[Resource, News[Any]] = {}
    came = asyncio.Event()
    missing = {informer.resource for informer in informers}
    tasks = [
        asyncio.create_task(_pump(informer, ready, came), name=f"informer {informer.resource}")
        for informer in informers
    ]
    for task in tasks:
        task.add_done_callback(lambda _: came.set())
    try:
        while True:
            await came.wait()
            came.clear()
            _raise_bugs(tasks)
            missing -= ready.keys()
            if missing or not ready:
                continue
            told = dict(ready)
            ready.clear()
            yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def merged(before: News[Any] | None, after: News[Any]) -> News[Any]:
    """Return two news that follow each other as one."""
    if before is None:
        return after
    changed = {**before.changed, **after.changed}
    if before.complete:
        changed = {name: item for name, item in changed.items() if item is not None}
    kept = {name: error for name, error in before.broken.items() if name not in after.changed}
    return News(
        complete=before.complete,
        changed=changed,
        broken={**kept, **after.broken},
        revision=after.revision,
        listed=before.listed or after.listed,
    )


async def _pump(informer: Informer[Any], ready: dict[Resource, News[Any]], came: asyncio.Event) -> None:
    async for news in informer.news():
        ready[informer.resource] = merged(ready.get(informer.resource), news)
        came.set()


def _raise_bugs(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.cancelled():
            # nobody here did: what it follows would stay as it was for ever, without a word
            raise Bug(f"{task.get_name()} was cancelled from within")
        if task.done() and (error := task.exception()):
            raise error
