# SPDX-License-Identifier: Apache-2.0
"""An informer as a test sees it: the next news, and everything that is known after them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self, cast

from buoy.store.api_informer import Informer
from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News
from tests.store.api.scripted import PATIENCE


class Following:
    """`async with Following(informer) as following: await following.next()`; keeps what a consumer would."""

    def __init__(self, informer: Informer[Any]) -> None:
        self._news = cast("AsyncGenerator[News[Any], None]", informer.news())
        self.objects: dict[ObjectName, Any] = {}
        self.broken: dict[ObjectName, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._news.aclose()

    async def next(self) -> News[Any]:
        news = await asyncio.wait_for(anext(self._news), PATIENCE)
        for name, item in news.changed.items():
            self.broken.pop(name, None)
            if item is None:
                self.objects.pop(name, None)
            else:
                self.objects[name] = item
        self.broken.update(news.broken)
        return news

    async def until(self, reached: Callable[[], bool]) -> list[News[Any]]:
        """Take news until `reached`, and return them."""
        taken: list[News[Any]] = []
        while not reached():
            taken.append(await self.next())
        return taken


def sizes(following: Following) -> dict[str, int]:
    """The things that are known, name to size."""
    return {name.name: thing.spec.size for name, thing in following.objects.items()}


def told(news: News[Any]) -> dict[str, int | None]:
    """The things of some news, name to size."""
    return {name.name: thing.spec.size if thing else None for name, thing in news.changed.items()}
