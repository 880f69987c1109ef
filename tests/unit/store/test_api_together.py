# SPDX-License-Identifier: Apache-2.0
"""Several informers as one."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest

from buoy.model.errors import Bug
from buoy.store import api_informer
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from buoy.store.api_names import Resource, Selection
from buoy.store.api_objects import News
from buoy.store.api_together import merged, together
from tests.store.api.following import told
from tests.store.api.scripted import PATIENCE, THINGS, ScriptedServer, Thing, named

OTHERS = Resource("example.net", "v2", "things", namespaced=True)
"""The scripted server answers for whatever is called things."""

AllNews = AsyncGenerator[Mapping[Resource, News[Any]], None]


def follow(api: ApiServer, *resources: Resource) -> AllNews:
    return cast("AllNews", together([Informer(api, resource, Thing) for resource in resources]))


async def following(all_news: AllNews) -> Mapping[Resource, News[Any]]:
    return await asyncio.wait_for(anext(all_news), PATIENCE)


async def test_nothing_is_told_before_all_have_listed(
    server: ScriptedServer, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "ABSENT_DELAY", 0.01)
    server.put("a", 1)
    server.served = False
    late = Informer(api, OTHERS, Thing)
    first_only = Informer(api, THINGS, Thing, selection=Selection(optional=True))
    all_news = cast("AllNews", together([first_only, late]))
    coming = asyncio.create_task(following(all_news))
    await server.asked_for("list", 4)
    assert not coming.done()
    server.served = True
    first = await coming
    assert {THINGS, OTHERS} == first.keys()
    assert first[THINGS].complete
    assert first[OTHERS].complete
    await all_news.aclose()


async def test_later_news_hold_the_resources_that_have_some(server: ScriptedServer, api: ApiServer) -> None:
    all_news = follow(api, THINGS)
    await following(all_news)
    server.put("a", 1)
    later = await following(all_news)
    assert {THINGS} == later.keys()
    assert (False, {"a": 1}) == (later[THINGS].complete, told(later[THINGS]))
    await all_news.aclose()


async def test_burst_comes_in_few_pieces_and_each_object_as_it_is_last(server: ScriptedServer, api: ApiServer) -> None:
    all_news = follow(api, THINGS)
    await following(all_news)
    for number in range(1000):
        server.put(f"thing-{number % 10}", number)
    known: dict[str, int | None] = {}
    pieces = 0
    while known.get("thing-9") != 999:
        pieces += 1
        known.update(told((await following(all_news))[THINGS]))
    assert {f"thing-{number % 10}": number for number in range(990, 1000)} == known
    assert pieces <= 20
    await all_news.aclose()


async def test_what_comes_during_work_is_told_together(server: ScriptedServer, api: ApiServer) -> None:
    all_news = follow(api, THINGS, OTHERS)
    await following(all_news)
    server.put("a", 1)
    await following(all_news)
    server.put("a", 2)
    server.put("b", "bad")
    server.put("c", 3)
    server.remove("c")
    # the work: long enough for all of it to come
    await asyncio.sleep(0.2)
    news = (await following(all_news))[THINGS]
    assert {"a": 2, "c": None} == told(news)
    assert [named("b")] == list(news.broken)
    await all_news.aclose()


async def test_same_resource_twice_is_a_bug(api: ApiServer) -> None:
    with pytest.raises(Bug):
        await following(follow(api, THINGS, THINGS))


async def test_bug_in_an_informer_is_raised(server: ScriptedServer, api: ApiServer) -> None:
    def reporter(report: object) -> None:
        raise ZeroDivisionError

    all_news = cast("AllNews", together([Informer(api, THINGS, Thing, reporter)]))
    server.served = False
    with pytest.raises(ZeroDivisionError):
        await following(all_news)


async def test_an_informer_that_is_cancelled_from_within_is_not_missed_in_silence(
    server: ScriptedServer, api: ApiServer
) -> None:
    def reporter(report: object) -> None:
        raise asyncio.CancelledError

    all_news = cast("AllNews", together([Informer(api, THINGS, Thing, reporter)]))
    server.served = False
    with pytest.raises(Bug, match=r"informer things\.example\.org was cancelled"):
        await following(all_news)


def news(changed: dict[str, int | None], broken: tuple[str, ...] = (), revision: int = 1) -> News[int]:
    return News(
        complete=False,
        changed={named(name): value for name, value in changed.items()},
        broken={named(name): "unreadable" for name in broken},
        revision=revision,
        listed=False,
    )


def test_complete_list_does_not_hold_what_is_gone_again() -> None:
    first = News(complete=True, changed={named("a"): 1, named("b"): 2}, broken={}, revision=1, listed=True)
    both = merged(first, news({"a": None}))
    assert (True, True, {named("b"): 2}) == (both.complete, both.listed, both.changed)


def test_readable_version_ends_a_broken_one() -> None:
    both = merged(news({}, ("a", "b")), news({"a": 1, "b": None}, revision=2))
    assert ({named("a"): 1, named("b"): None}, {}, 2) == (both.changed, both.broken, both.revision)


def test_broken_version_leaves_the_readable_one_before_it() -> None:
    both = merged(news({"a": 1}), news({}, ("a",)))
    assert ({named("a"): 1}, [named("a")]) == (both.changed, list(both.broken))
