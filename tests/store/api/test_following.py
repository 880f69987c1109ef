# SPDX-License-Identifier: Apache-2.0
"""Informers of a real API server, which is cut off, restarted, frozen, compacted and set back meanwhile."""

import asyncio
from pathlib import Path

import pytest

from buoy.store import api_informer
from buoy.store.api_client import ApiServer
from buoy.store.api_errors import Gone
from buoy.store.api_informer import Informer
from buoy.store.api_listing import page
from buoy.store.api_names import ObjectName, Selection
from buoy.store.api_objects import News
from tests.store.api.following import Following
from tests.store.api.kube import KubeServer
from tests.store.api.maps import MAPS, Map, at, put
from tests.store.api.relay import Relay
from tests.store.watching import Reports


def informer(api: ApiServer, namespace: str, reports: Reports) -> Informer[Map]:
    # every namespace gets a map of the root CA's by a controller; none runs here
    return Informer(api, MAPS, Map, reports, Selection(namespace=namespace))


def texts(following: Following) -> dict[str, str]:
    return {name.name: item.data["text"] for name, item in following.objects.items()}


async def test_every_change_is_told(api: ApiServer, namespace: str, reports: Reports) -> None:
    await put(api, namespace, "a", "one")
    async with Following(informer(api, namespace, reports)) as following:
        first = await following.next()
        assert (True, {"a": "one"}) == (first.complete, texts(following))
        await put(api, namespace, "a", "two")
        await put(api, namespace, "b", "three")
        await api.delete(at(namespace, "a"))
        await following.until(lambda: {"b": "three"} == texts(following))
        stored = following.objects[ObjectName(namespace, "b")].metadata
        assert first.revision < int(stored.resource_version)
    assert [] == reports.all


async def test_selectors_select(api: ApiServer, namespace: str) -> None:
    await put(api, namespace, "a", "one")
    await put(api, namespace, "b", "two")
    selection = Selection(namespace=namespace, fields="metadata.name=b")
    async with Following(Informer(api, MAPS, Map, selection=selection)) as following:
        await following.next()
        assert {"b": "two"} == texts(following)
        await put(api, namespace, "a", "three")
        await put(api, namespace, "b", "four")
        await following.until(lambda: {"b": "four"} == texts(following))


async def test_changes_while_the_wire_is_cut_are_told_once(
    kube: KubeServer, api: ApiServer, namespace: str, reports: Reports
) -> None:
    async with Relay(kube.port) as relay:
        far = ApiServer(kube.settings(server=f"https://127.0.0.1:{relay.port}"))
        for name in ("kept", "removed"):
            await put(api, namespace, name, "one")
        async with Following(informer(far, namespace, reports)) as following:
            await following.next()
            coming = asyncio.create_task(following.next())
            await relay.cut()
            await reports.heard(2)
            await api.delete(at(namespace, "removed"))
            await put(api, namespace, "added", "two")
            await relay.mend()
            news = [await coming, *await following.until(lambda: {"kept": "one", "added": "two"} == texts(following))]
        await far.close()
    assert [("removed", True), ("added", False)] == [
        (name.name, item is None) for each in news for name, item in each.changed.items()
    ]
    assert [False] * len(news) == [each.listed for each in news], "a watch that can be resumed is"
    assert reports.all[-1] is None


async def test_restart_of_the_server_loses_nothing(
    kube: KubeServer, api: ApiServer, namespace: str, reports: Reports
) -> None:
    async with Following(informer(api, namespace, reports)) as following:
        await following.next()
        for number in range(20):
            await put(api, namespace, f"map-{number}", "one")
        following_on = asyncio.create_task(following.until(lambda: {"last": "two"} == texts(following)))
        kube.kill_server()
        await asyncio.to_thread(kube.start_server)
        other = ApiServer(kube.settings())
        for number in range(20):
            assert await other.delete(at(namespace, f"map-{number}"))
        await put(other, namespace, "last", "two")
        await other.close()
        await following_on
    assert reports.all[-1] is None


async def test_history_older_than_the_restarted_server_is_listed_anew(
    kube: KubeServer, api: ApiServer, namespace: str, reports: Reports
) -> None:
    async with Relay(kube.port) as relay:
        far = ApiServer(kube.settings(server=f"https://127.0.0.1:{relay.port}"))
        for name in ("kept", "removed"):
            await put(api, namespace, name, "one")
        async with Following(informer(far, namespace, reports)) as following:
            await following.next()
            coming = asyncio.create_task(following.next())
            await relay.cut()
            await api.delete(at(namespace, "removed"))
            added = await put(api, namespace, "added", "two")
            kube.compact(int(added.metadata.resource_version))
            kube.kill_server()
            await asyncio.to_thread(kube.start_server)
            await relay.mend()
            news = await coming
        await far.close()
    changed = {name.name: item and item.data["text"] for name, item in news.changed.items()}
    assert (True, False, {"removed": None, "added": "two"}) == (news.listed, news.complete, changed)


async def test_page_of_a_forgotten_list_is_gone(kube: KubeServer, api: ApiServer, namespace: str) -> None:
    for name in ("a", "b"):
        written = await put(api, namespace, name, "one")
    selection = Selection(namespace=namespace)
    first = await page(api.call, MAPS, selection, limit=1)
    assert first is not None
    written = await put(api, namespace, "c", "one")
    kube.compact(int(written.metadata.resource_version))
    kube.kill_server()
    await asyncio.to_thread(kube.start_server)
    with pytest.raises(Gone):
        await page(api.call, MAPS, selection, limit=1, more=first.more)


async def test_frozen_server_is_noticed_and_left_again(
    kube: KubeServer, api: ApiServer, namespace: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_informer, "IDLE", 0.5)
    async with Following(informer(api, namespace, reports)) as following:
        await put(api, namespace, "a", "one")
        await following.next()
        coming = asyncio.create_task(following.next())
        kube.freeze()
        try:
            await reports.heard(1)
        finally:
            kube.thaw()
        other = ApiServer(kube.settings())
        await put(other, namespace, "a", "two")
        await other.close()
        await coming
        assert {"a": "two"} == texts(following)


async def test_bookmarks_tell_how_far_the_server_came(
    api: ApiServer, namespace: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch of what rarely changes would else be resumed at what is long forgotten."""
    # two seconds before the end of a watch the server sends one
    monkeypatch.setattr(api_informer, "WATCHED", 3)
    followed = informer(api, namespace, reports)
    async with Following(followed) as following:
        await following.next()
        coming = asyncio.create_task(following.next())
        last = await put(api, "default", "elsewhere", "one")
        while int(followed._revision) < int(last.metadata.resource_version):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
        assert not coming.done()
        await put(api, namespace, "a", "one")
        await coming
        assert {"a": "one"} == texts(following)
    assert [] == reports.all


async def test_server_set_back_to_a_backup_is_followed_there(
    kube: KubeServer, api: ApiServer, namespace: str, reports: Reports, tmp_path: Path
) -> None:
    await put(api, namespace, "kept", "one")
    await put(api, namespace, "changed", "one")
    async with Following(informer(api, namespace, reports)) as following:
        await following.next()
        kube.back_up(tmp_path / "backup")
        await put(api, namespace, "changed", "two")
        await put(api, namespace, "added", "two")
        await following.until(lambda: {"kept": "one", "changed": "two", "added": "two"} == texts(following))
        coming = asyncio.create_task(following.until(lambda: {"kept": "one", "changed": "one"} == texts(following)))
        await asyncio.to_thread(kube.set_back, tmp_path / "backup")
        news: list[News[Map]] = await coming
        assert news[-1].listed
        await put(api, namespace, "changed", "three")
        await following.until(lambda: {"kept": "one", "changed": "three"} == texts(following))
