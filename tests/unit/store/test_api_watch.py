# SPDX-License-Identifier: Apache-2.0
"""An informer whose watch fails in every way a stream can."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from buoy.store import api_informer, api_stream
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from tests.store.api.following import Following, told
from tests.store.api.scripted import (
    PATIENCE,
    THINGS,
    ScriptedServer,
    Thing,
    abort,
    answering,
    begin,
    ending,
)
from tests.store.watching import Reports


async def test_gone_is_also_told_within_the_stream(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.put("a", 1)
    await following.next()
    server.put("a", 2)
    await following.next()
    # an event that its history no longer has
    server.objects.clear()
    server.revision += 1
    server.tell("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
    assert {"a": None} == told(await following.next())
    assert [] == reports.all, "to be told to list again is no outage"


async def test_events_before_an_error_in_the_same_piece_are_told(server: ScriptedServer, following: Following) -> None:
    server.put("a", 1)
    await following.next()

    async def both(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        event = b'{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"default","resourceVersion":"102"}}}\n'
        error = b'{"type":"ERROR","object":{"code":500,"message":"etcdserver: mvcc: too many"}}\n'
        await response.write(event + error)
        return response

    server.next("watch", both)
    server.revision = 102
    news = await following.next()
    assert ({"b": 0}, False) == (told(news), news.listed)
    # and after the error a listing tells that there never was a b
    assert {"b": None} == told(await following.next())


async def test_line_cut_in_the_middle_is_heard_whole_after_it(server: ScriptedServer, following: Following) -> None:
    server.put("a", 1)
    await following.next()

    async def half(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        await response.write(b'{"type":"ADDED","object":{"metadata":{"name":"b","resourceVer')
        abort(response)
        return response

    server.next("watch", half)
    server.put("b", 2)
    assert {"b": 2} == told(await following.next())
    assert 1 == server.count("list")


async def test_line_in_many_pieces_is_one_event(server: ScriptedServer, following: Following) -> None:
    await following.next()

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        line = b'{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"default","resourceVersion":"102"}}}\n'
        for start in range(0, len(line), 7):
            await response.write(line[start : start + 7])
            await asyncio.sleep(0.001)
        await response.write(b"\n")
        await server.watch(request)
        return response

    server.next("watch", slowly)
    assert {"b": 0} == told(await following.next())


async def test_line_that_is_no_event_ends_the_watch_not_the_informer(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    await following.next()

    async def page_of_a_proxy(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        await response.write(b"<html>Bad gateway</html>\n")
        return response

    server.next("watch", page_of_a_proxy)
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert "a line that is no event" in str(reports.all[0])


async def test_silent_watch_is_begun_again(
    server: ScriptedServer, following: Following, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("a", 1)
    await following.next()
    monkeypatch.setattr(api_informer, "IDLE", 0.05)
    monkeypatch.setattr(api_informer, "AT_ONCE", 0.0)

    async def deaf(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        await asyncio.sleep(PATIENCE)
        return response

    server.next("watch", deaf)
    server.put("a", 2)
    assert {"a": 2} == told(await following.next())
    assert [] == reports.all, "a server that is there needs not have much to say"


async def test_bookmark_moves_the_place_to_resume_at(server: ScriptedServer, following: Following) -> None:
    server.put("a", 1)
    await following.next()

    async def bookmark(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        await response.write(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"600"}}}\n')
        return response

    server.next("watch", bookmark)
    server.revision = 600
    coming = asyncio.create_task(following.next())
    await server.asked_for("watch", 2)
    server.put("a", 2)
    assert {"a": 2} == told(await coming)
    assert ["101", "600"] == [query["resourceVersion"] for asked, query in server.asked if asked == "watch"]


async def test_regular_end_of_a_watch_is_no_outage(
    server: ScriptedServer, following: Following, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "AT_ONCE", 0.0)
    server.next("watch", *[ending] * 3)
    await following.next()
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert (4, []) == (server.count("watch"), reports.all)


async def test_watch_that_ends_at_once_is_not_begun_without_end(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.next("watch", ending)
    await following.next()
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert "ended at once" in str(reports.all[0])


async def test_server_that_forgets_what_it_just_listed_is_not_listed_without_end(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    await following.next()
    server.next("watch", *[answering(410, "too old")] * 3)
    coming = asyncio.create_task(following.next())
    await reports.heard(3)
    server.put("a", 1)
    assert {"a": 1} == told(await coming)
    assert ["watch things.example.org: too old"] * 3 == [str(report) for report in reports.all[:3]]


async def test_exchanged_token_is_used_at_once(server: ScriptedServer, reports: Reports, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    server.token = "old"
    api = ApiServer(server.settings(token_file=str(file)))
    server.put("a", 1)
    async with Following(Informer(api, THINGS, Thing, reports)) as following:
        await following.next()
        server.put("a", 2)
        await following.next()
        server.token = "new"
        coming = asyncio.create_task(following.next())
        server.cut()
        server.put("a", 3)
        await reports.heard(2)
        assert not coming.done()
        file.write_text("new\n")
        assert {"a": 3} == told(await coming)
    await api.close()
    assert "account" in str(reports.all[1])
    assert reports.all[-1] is None
    assert 1 == server.count("list")


async def test_server_that_asks_for_patience_gets_it(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.next("list", answering(429, "busy", retry_after="0.05"))
    assert (await following.next()).complete
    assert (2, []) == (server.count("list"), reports.all)
    server.next("watch", answering(429, "busy", retry_after="0.05"))
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert ["watch things.example.org: busy", "None"] == [str(report) for report in reports.all]


async def test_blank_lines_are_passed_over(server: ScriptedServer, following: Following) -> None:
    await following.next()

    async def blank(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        for _ in range(3):
            await response.write(b"\n")
            await asyncio.sleep(0.001)
        line = (
            b'\n{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"default","resourceVersion":"102"}}}\n\n'
        )
        await response.write(line)
        await response.write(b"\n")
        return await server.watch(request)

    server.next("watch", blank)
    assert {"b": 0} == told(await following.next())


async def test_line_without_end_is_not_waited_for(
    server: ScriptedServer, following: Following, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_stream, "LONGEST", 1000)
    await following.next()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        for _ in range(PATIENCE * 1000):
            await response.write(b"x" * 100)
            await asyncio.sleep(0.001)
        return response

    server.next("watch", endless)
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert "a line of over 1000 bytes" in str(reports.all[0])


async def test_missing_right_to_watch_needs_no_new_list(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    await following.next()
    server.next("watch", answering(403, 'things is forbidden: User "me" cannot watch resource "things"'))
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert 1 == server.count("list")
    assert 'right to watch resource "things"' in str(reports.all[0])
