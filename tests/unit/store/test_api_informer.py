# SPDX-License-Identifier: Apache-2.0
"""An informer lists, follows, and outlives the connections and the history of its server."""

import asyncio

import pytest
from aiohttp import web

from buoy.model.errors import StoreUnavailable
from buoy.store import api_listing
from tests.store.api.following import Following, sizes, told
from tests.store.api.scripted import (
    ScriptedServer,
    answering,
    named,
    refusal,
)
from tests.store.watching import Reports


async def test_first_news_is_complete_and_later_ones_are_differences(
    server: ScriptedServer, following: Following
) -> None:
    server.put("a", 1)
    server.put("b", 2)
    first = await following.next()
    assert (True, True, {"a": 1, "b": 2}, 102) == (first.complete, first.listed, told(first), first.revision)
    server.put("b", 3)
    server.remove("a")
    later = await following.until(lambda: {"b": 3} == sizes(following))
    assert [(False, False)] * len(later) == [(news.complete, news.listed) for news in later]
    assert 104 == later[-1].revision


async def test_nothing_there_is_told_too(following: Following) -> None:
    first = await following.next()
    assert (True, {}) == (first.complete, dict(first.changed))


async def test_list_comes_in_pages(
    server: ScriptedServer, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_listing.page, "__defaults__", (2, ""))
    for number in range(5):
        server.put(f"thing-{number}", number)
    first = await following.next()
    assert {f"thing-{number}": number for number in range(5)} == told(first)
    assert 2 == server.count("continue")


async def test_list_forgotten_between_two_pages_is_asked_for_at_once(
    server: ScriptedServer, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_listing.page, "__defaults__", (2, ""))

    async def forget(request: web.Request) -> web.StreamResponse:
        server.remove("thing-0")
        return refusal(410, "the provided continue parameter is too old")

    server.next("continue", forget)
    for number in range(5):
        server.put(f"thing-{number}", number)
    assert {f"thing-{number}": number for number in range(1, 5)} == told(await following.next())
    assert ["list", "continue", "list"] == [asked for asked, _ in server.asked]
    assert "limit" not in server.asked[2][1]


async def test_list_that_fails_is_repeated_and_reported(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.put("a", 1)
    server.next("list", answering(500, "etcdserver: no leader"), answering(503, "starting"))
    assert {"a": 1} == told(await following.next())
    server.put("a", 2)
    await following.next()
    assert ["list things.example.org: etcdserver: no leader", "list things.example.org: starting", "None"] == [
        str(report) for report in reports.all
    ]


async def test_changes_during_a_cut_are_told_once(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.put("a", 1)
    server.put("b", 1)
    await following.next()
    server.put("a", 2)
    await following.next()
    server.cut()
    server.remove("b")
    server.put("c", 3)
    later = await following.until(lambda: {"a": 2, "c": 3} == sizes(following))
    merged = [pair for news in later for pair in told(news).items()]
    assert [("b", None), ("c", 3)] == merged
    assert 1 == server.count("list")
    assert [StoreUnavailable, type(None)] == [type(report) for report in reports.all]


async def test_server_that_goes_and_comes_back_is_waited_for(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.put("a", 1)
    await following.next()
    coming = asyncio.create_task(following.next())
    await server.stop()
    await reports.heard(2)
    server.put("a", 2)
    await server.start()
    assert {"a": 2} == told(await coming)
    assert reports.all[-1] is None
    assert all(isinstance(report, StoreUnavailable) for report in reports.all[:-1])


async def test_forgotten_history_is_listed_and_the_difference_told(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    for name in ("kept", "changed", "removed", "replaced"):
        server.put(name, 1)
    await following.next()
    server.put("last", 1)
    await following.next()
    server.put("changed", 2)
    server.remove("removed")
    server.remove("replaced")
    server.put("replaced", 1, uid="another")
    server.compact()
    server.cut()
    news = await following.next()
    assert (False, True) == (news.complete, news.listed)
    assert {"changed": 2, "removed": None, "replaced": 1} == told(news)
    assert "another" == following.objects[named("replaced")].metadata.uid
