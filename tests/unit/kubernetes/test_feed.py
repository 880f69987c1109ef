# SPDX-License-Identifier: Apache-2.0
"""By which version Calico's kinds are followed, and who hears of an outage."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest

from buoy.kubernetes.feed import Feed, Reports
from buoy.kubernetes.resources import BGP_PEERS, SERVICES
from buoy.model.errors import StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource
from buoy.store.api_objects import News
from buoy.store.api_transport import Request


class Answering:
    """An API server that says the same to everything, once it has failed a number of times."""

    def __init__(self, answer: bytes | None, failures: int = 0) -> None:
        self._answer = answer
        self._failures = failures

    def jitter(self) -> float:
        return 0.0

    async def call(self, request: Request, asked: str) -> bytes | None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable(asked)
        return self._answer


def group(*versions: str) -> bytes:
    return json.dumps({"kind": "APIGroup", "versions": [{"version": version} for version in versions]}).encode()


@pytest.mark.parametrize(
    ("answer", "version"),
    [(group("v3", "v3crd"), "v3crd"), (group("v3"), "v3"), (None, "v3crd")],
    ids=["Buoy's own kinds", "Calico itself", "not installed yet"],
)
async def test_the_version_that_needs_no_other_server_is_preferred(answer: bytes | None, version: str) -> None:
    feed = Feed(cast("ApiServer", Answering(answer)), (BGP_PEERS, SERVICES), lambda _: None)
    await feed._find_versions()
    assert (version, "v1") == (feed.at(BGP_PEERS).version, feed.at(SERVICES).version)


class Later:
    """An API server that has Calico's own kinds by the time they are listed, and not when their group is asked for."""

    def jitter(self) -> float:
        return 0.0

    async def call(self, request: Request, asked: str, patience: float = 0.0) -> bytes | None:
        listed = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "tor"}, "spec": {}}]}
        return json.dumps(listed).encode() if "/v3/" in request.path else None

    async def open(self, request: Request, asked: str) -> None:
        await asyncio.Event().wait()


async def test_a_version_that_is_not_known_makes_way_for_the_other() -> None:
    feed = Feed(cast("ApiServer", Later()), (BGP_PEERS,), lambda _: None)
    news = feed.news(lambda: None)
    told = await anext(news)
    assert [ObjectName("", "tor")] == list(told[BGP_PEERS].changed)
    assert "v3" == feed.at(BGP_PEERS).version
    await news.aclose()


async def test_an_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buoy.kubernetes.feed.RETRY", 0)
    heard: list[bool] = []
    feed = Feed(
        cast("ApiServer", Answering(group("v3"), failures=2)), (BGP_PEERS,), lambda error: heard.append(bool(error))
    )
    await feed._find_versions()
    assert [True, True, False] == heard


async def test_silence_is_told_of_only_once_everything_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: News[Any] = News(complete=True, changed={}, broken={}, revision=1, listed=True)
    all_listed = asyncio.Event()

    async def together(_: object) -> AsyncIterator[Mapping[Resource, News[Any]]]:
        await all_listed.wait()
        yield {SERVICES: listed}
        await asyncio.Event().wait()

    monkeypatch.setattr("buoy.kubernetes.feed.together", together)
    feed = Feed(cast("ApiServer", Answering(None)), (SERVICES,), lambda _: None)
    news = feed.news(lambda: 0.0)
    first = asyncio.create_task(anext(news))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    all_listed.set()
    assert [{SERVICES: listed}, {}] == [await first, await anext(news)]
    await news.aclose()


def test_the_end_of_an_outage_is_told_once_it_is_over_for_all() -> None:
    heard: list[str] = []
    reports = Reports(lambda error: heard.append(str(error)))
    one, other = reports.of("one"), reports.of("other")
    one(None)
    one(StoreUnavailable("a"))
    other(StoreUnavailable("b"))
    one(None)
    assert ["a", "b"] == heard
    other(None)
    other(None)
    assert ["a", "b", "None"] == heard
