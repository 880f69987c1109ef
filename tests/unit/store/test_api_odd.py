# SPDX-License-Identifier: Apache-2.0
"""An informer of what is odd: unreadable objects, unknown resources, a server set back to a backup."""

import asyncio
import copy

import pytest

from buoy.store import api_informer
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from buoy.store.api_names import Selection
from tests.store.api.following import Following, sizes, told
from tests.store.api.scripted import (
    THINGS,
    ScriptedServer,
    Thing,
    answering,
    named,
)
from tests.store.watching import Reports


async def test_unreadable_object_is_broken_and_its_last_readable_version_stays(
    server: ScriptedServer, following: Following
) -> None:
    server.put("good", 1)
    server.put("bad", "much")
    first = await following.next()
    assert {"good": 1} == told(first)
    assert {named("bad"): "Expected `int`, got `str` - at `$.spec.size`"} == dict(first.broken)
    server.put("good", "more")
    news = await following.next()
    assert ({}, [named("good")]) == (told(news), list(news.broken))
    server.put("good", 3)
    server.put("bad", 4)
    await following.until(lambda: {"good": 3, "bad": 4} == sizes(following))
    assert {} == following.broken


async def test_broken_object_that_did_not_change_is_not_told_again(
    server: ScriptedServer, following: Following
) -> None:
    server.put("bad", "much")
    await following.next()
    server.put("good", 1)
    await following.next()
    server.put("good", 2)
    server.compact()
    server.cut()
    news = await following.next()
    assert ({"good": 2}, {}) == (told(news), dict(news.broken))


async def test_broken_object_that_is_deleted_is_gone(server: ScriptedServer, following: Following) -> None:
    server.put("bad", "much")
    await following.next()
    server.remove("bad")
    assert {"bad": None} == told(await following.next())
    assert {} == following.broken


async def test_server_set_back_to_a_backup_is_listed_anew(server: ScriptedServer, following: Following) -> None:
    server.put("a", 1)
    server.put("b", 1)
    await following.next()
    backup = server.revision, copy.deepcopy(server.objects)
    server.put("b", 2)
    server.put("c", 2)
    await following.until(lambda: {"a": 1, "b": 2, "c": 2} == sizes(following))
    server.set_back(*backup)
    news = await following.next()
    assert ({"a": 1, "b": 1, "c": None}, True, 102) == (told(news), news.listed, news.revision)


async def test_deletion_that_a_backup_takes_back_is_noticed(server: ScriptedServer, following: Following) -> None:
    server.put("a", 1)
    server.put("b", 1)
    await following.next()
    backup = server.revision, copy.deepcopy(server.objects)
    server.remove("b")
    await following.next()
    server.set_back(*backup)
    news = await following.next()
    assert ({"a": 1, "b": 1}, True) == (told(news), news.listed)


async def test_server_set_back_and_then_pushed_past_what_was_told_is_noticed(
    server: ScriptedServer, following: Following
) -> None:
    server.put("a", 1)
    await following.next()
    backup = server.revision, copy.deepcopy(server.objects)
    server.put("b", 2)
    await following.next()
    server.set_back(*backup)
    # at the version where b stood there is a c now
    server.put("c", 3)
    server.put("c", 4)
    await following.until(lambda: {"a": 1, "c": 4} == sizes(following))
    assert 2 == server.count("list")


async def test_optional_resource_may_be_unknown_and_come_to_be(
    server: ScriptedServer, api: ApiServer, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "ABSENT_DELAY", 0.01)
    server.served = False
    server.put("a", 1)
    informer = Informer(api, THINGS, Thing, reports, Selection(optional=True))
    async with Following(informer) as following:
        first = await following.next()
        assert (True, {}, 0) == (first.complete, dict(first.changed), first.revision)
        coming = asyncio.create_task(following.next())
        await server.asked_for("list", 3)
        assert [] == reports.all
        server.served = True
        news = await coming
        assert (False, {"a": 1}) == (news.complete, told(news))


async def test_optional_resource_that_goes_takes_its_objects_once_that_is_certain(
    server: ScriptedServer, api: ApiServer, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "ABSENT_DELAY", 0.01)
    server.put("a", 1)
    informer = Informer(api, THINGS, Thing, reports, Selection(optional=True))
    async with Following(informer) as following:
        await following.next()
        server.put("a", 2)
        await following.next()
        server.served = False
        server.cut()
        assert {"a": None} == told(await following.next())
        assert api_informer.ABSENT == server.count("list") - 1
        assert 2 == sum("does not know it" in str(report) for report in reports.all)


async def test_resource_whose_version_goes_is_followed_by_its_twin_and_nothing_is_told_as_gone(
    server: ScriptedServer, api: ApiServer, reports: Reports
) -> None:
    server.put("a", 1)
    server.version = "v1"
    informer = Informer(api, THINGS, Thing, reports, Selection(optional=True, twin="v2"))
    async with Following(informer) as following:
        await following.next()
        for size, version in ((2, "v2"), (3, "v1")):
            server.version = version
            server.cut()
            server.put("a", size)
            assert {"a": size} == told(await following.next())
            assert (version, "v1") == (informer.at.version, informer.resource.version)
            server.put("a", size * 10)
            assert {"a": size * 10} == told(await following.next())


async def test_optional_resource_may_come_to_be_by_its_twin(
    server: ScriptedServer, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "ABSENT_DELAY", 0.01)
    server.served = False
    server.put("a", 1)
    informer = Informer(api, THINGS, Thing, selection=Selection(optional=True, twin="v2"))
    async with Following(informer) as following:
        assert {} == told(await following.next())
        server.version, server.served = "v2", True
        assert {"a": 1} == told(await following.next())


async def test_resource_unknown_to_a_watch_alone_is_listed_again(
    server: ScriptedServer, following: Following, reports: Reports
) -> None:
    server.next("watch", answering(404, "404 page not found"))
    await following.next()
    server.put("a", 1)
    assert {"a": 1} == told(await following.next())
    assert ["watch things.example.org: the API server does not know it"] == [str(each) for each in reports.all]
    assert 2 == server.count("list")


async def test_resource_that_must_be_there_is_waited_for(
    server: ScriptedServer, following: Following, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "ABSENT_DELAY", 0.01)
    server.served = False
    server.put("a", 1)
    coming = asyncio.create_task(following.next())
    await reports.heard(api_informer.ABSENT + 1)
    assert "install its CRD" in str(reports.all[0])
    assert not coming.done()
    server.served = True
    assert {"a": 1} == told(await coming)
