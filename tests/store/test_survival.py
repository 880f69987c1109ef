# SPDX-License-Identifier: Apache-2.0
"""What a watch and a write do while etcd is killed, compacted, set back to a backup, or another."""

import asyncio
from collections.abc import Callable

import pytest

from buoy.model.errors import StoreUnavailable
from buoy.store import etcd_watch
from buoy.store.etcd import EtcdStore
from buoy.store.lease import Lease
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings
from buoy.store.store import Stored
from tests.store.etcd_server import EtcdServer
from tests.store.watching import Reports, Watching, gone, pool, put, texts

Connect = Callable[[StoreSettings], EtcdStore]


async def compact(store: EtcdStore, revision: int) -> None:
    await store._connection.call("KV/Compact", pb.CompactionRequest(revision=revision), pb.CompactionResponse)


async def fill(store: EtcdStore) -> None:
    for number in range(100):
        await store.write([put(f"large-{number}", "x" * 100_000)])


async def revision_of(store: EtcdStore) -> int:
    return await store.write([])


async def test_a_watch_goes_on_after_kill_9_and_restart_without_loss(
    etcd: EtcdServer, connect: Connect, reports: Reports
) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("stays", "1"), put("goes")])
    async with Watching(reader) as watching:
        assert texts(await watching.next()) == {"stays": "1", "goes": ""}
        await writer.write([put("before", "kill")])
        assert (await watching.next()).changed == frozenset({"pools/before"})
        waiting = asyncio.create_task(watching.next())
        etcd.kill()
        await reports.heard(1)
        etcd.start()
        await writer.write([put("after", "restart"), gone("goes")])
        batch = await waiting
        assert batch.changed == frozenset({"pools/after", "pools/goes"})
        assert texts(batch) == {"stays": "1", "before": "kill", "after": "restart"}
    assert isinstance(reports.all[0], StoreUnavailable)
    assert reports.all[-1] is None


async def test_changes_made_while_a_watch_was_cut_off_are_told_after(etcd: EtcdServer, connect: Connect) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("a", "1"), put("b", "1"), put("c", "1")])
    async with Watching(reader) as watching:
        await watching.next()
        await writer.write([put("a", "2")])
        await watching.next()
        etcd.kill()
        etcd.start()
        await writer.write([gone("b")])
        await writer.write([put("d", "1")])
        batch, changed = await watching.until(lambda batch: "d" in texts(batch))
        assert changed == frozenset({"pools/b", "pools/d"})
        assert texts(batch) == {"a": "2", "c": "1", "d": "1"}


async def test_a_watch_overtaken_by_compaction_tells_exactly_the_difference(
    etcd: EtcdServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_watch, "MAX_BEHIND", 1_000_000)
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("same"), put("changes", "1"), put("goes")])
    async with Watching(reader) as watching:
        await watching.next()
        etcd.kill()
        etcd.start()
        await writer.write([put("changes", "2")])
        await writer.write([gone("goes")])
        await writer.write([put("comes")])
        await writer.write([put("brief")])
        await writer.write([gone("brief")])
        await compact(writer, await revision_of(writer))
        batch = await watching.next()
        assert batch.changed == frozenset({"pools/changes", "pools/goes", "pools/comes"})
        assert texts(batch) == {"same": "", "changes": "2", "comes": ""}
        await writer.write([put("next")])
        assert (await watching.next()).changed == frozenset({"pools/next"})


async def test_a_watch_far_behind_lists_instead_of_replaying(
    etcd: EtcdServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_watch, "MAX_BEHIND", 3)
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("a", "0")])
    async with Watching(reader) as watching:
        await watching.next()
        await writer.write([put("brief")])
        await writer.write([gone("brief")])
        for number in range(1, 9):
            await writer.write([put("a", str(number))])
        batch = await watching.next()
        # a replay would have told of the brief one too
        assert (batch.changed, texts(batch)) == (frozenset({"pools/a"}), {"a": "8"})


async def test_an_older_backup_shows_as_a_revision_that_went_back(etcd: EtcdServer, connect: Connect) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("old"), put("both", "1")])
    etcd.back_up(etcd.home / "backup")
    await writer.write([put("lost")])
    await writer.write([put("both", "2"), gone("old")])
    async with Watching(reader) as watching:
        before = await watching.next()
        etcd.set_back(etcd.home / "backup")
        after = await watching.next()
        assert after.snapshot.identity.store == before.snapshot.identity.store
        assert after.snapshot.identity.revision < before.snapshot.identity.revision
        assert (after.changed, after.listed) == (frozenset({"pools/lost", "pools/both", "pools/old"}), True)
        assert texts(after) == {"old": "", "both": "1"}


async def test_the_same_revision_of_an_older_backup_is_not_taken_for_the_same_document(
    etcd: EtcdServer, connect: Connect
) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("a")])
    etcd.back_up(etcd.home / "backup")
    first = await writer.write([put("b", "first history")])
    await writer.write([put("c")])
    async with Watching(reader) as watching:
        await watching.next()
        etcd.set_back(etcd.home / "backup")
        again = await writer.write([put("b", "second history")])
        assert again == first
        batch, changed = await watching.until(lambda batch: texts(batch).get("b") == "second history")
        assert changed == frozenset({"pools/b", "pools/c"})
        assert texts(batch) == {"a": "", "b": "second history"}


@pytest.mark.parametrize("pushed", [5, 10])
async def test_a_backup_that_was_pushed_past_what_was_told_is_listed_anew(
    etcd: EtcdServer, connect: Connect, pushed: int
) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("a"), put("old")])
    etcd.back_up(etcd.home / "backup")
    for name in ("lost", "b", "c", "d"):
        await writer.write([put(name)])
    await writer.write([gone("old")])
    async with Watching(reader) as watching:
        before = await watching.next()
        with etcd.unseen():
            etcd.set_back(etcd.home / "backup")
            for number in range(pushed):
                etcd.etcdctl("put", "/elsewhere", str(number))
        after = await watching.next()
        assert (True, True) == (after.listed, after.snapshot.identity.revision >= before.snapshot.identity.revision)
        assert after.changed == frozenset({"pools/lost", "pools/b", "pools/c", "pools/d", "pools/old"})
        assert texts(after) == {"a": "", "old": ""}
        next_one = await connect(etcd.settings()).write([put("e")])
        assert next_one == (await watching.next()).snapshot.identity.revision


async def test_another_cluster_shows_in_the_identity(etcd: EtcdServer, connect: Connect) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    await writer.write([put("a")])
    etcd.back_up(etcd.home / "backup")
    async with Watching(reader) as watching:
        before = await watching.next()
        etcd.set_back(etcd.home / "backup", cluster="two")
        after = await watching.next()
        assert after.snapshot.identity.store != before.snapshot.identity.store
        assert after.changed == frozenset()
        assert texts(after) == {"a": ""}


async def test_a_write_during_an_outage_is_refused_and_works_again_after(etcd: EtcdServer, connect: Connect) -> None:
    store = connect(etcd.settings())
    await store.write([put("a")])
    etcd.kill()
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            await asyncio.wait_for(store.write([put("b")]), 4)
    etcd.start()
    await store.write([put("b")])
    assert (await store.read("pools/b")).document == pool("b")


async def test_a_server_that_accepts_and_is_silent_is_unavailable_too(connect: Connect) -> None:
    server = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = connect(StoreSettings(endpoints=(f"http://127.0.0.1:{port}",)))
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(store.read("pools/a"), 4)
    server.close()


async def test_a_server_that_falls_silent_is_noticed_and_its_changes_are_told_after(
    etcd: EtcdServer, connect: Connect, reports: Reports
) -> None:
    writer, reader = connect(etcd.settings()), connect(etcd.settings())
    async with Watching(reader) as watching:
        await watching.next()
        await writer.write([put("a")])
        await watching.next()
        waiting = asyncio.create_task(watching.next())
        etcd.freeze()
        await reports.heard(1)
        etcd.thaw()
        await writer.write([put("b")])
        assert (await waiting).changed == frozenset({"pools/b"})


async def test_a_full_store_refuses_writes_and_still_tells_what_it_holds(connect: Connect) -> None:
    server = EtcdServer(["--quota-backend-bytes", "200000"])
    try:
        server.start()
        store = connect(server.settings())
        revision = await store.write([put("a")])
        with pytest.raises(StoreUnavailable, match="space exceeded"):
            await fill(store)
        assert await store.read("pools/a") == Stored(pool("a"), revision)
        async with Watching(store, ["pools/a"]) as watching:
            assert texts(await watching.next()) == {"a": ""}
    finally:
        server.remove()


async def test_a_dead_endpoint_is_passed_over(etcd: EtcdServer, connect: Connect) -> None:
    dead = EtcdServer()
    dead.remove()
    store = connect(StoreSettings(endpoints=(dead.endpoint, etcd.endpoint)))
    await store.write([put("a")])
    async with Watching(store) as watching:
        assert texts(await watching.next()) == {"a": ""}
        await store.write([put("b")])
        assert (await watching.next()).changed == frozenset({"pools/b"})


async def test_a_watch_waits_for_a_server_that_is_not_there_yet(
    etcd: EtcdServer, connect: Connect, reports: Reports
) -> None:
    etcd.kill()
    async with Watching(connect(etcd.settings())) as watching:
        first = asyncio.create_task(watching.next())
        await reports.heard(3)
        etcd.start()
        assert (await first).changed is None
    assert reports.all[-1] is None, "a listing is an answer, also to who wants no more than that"


async def test_a_lease_lost_in_an_outage_is_granted_again_and_its_document_written(
    etcd: EtcdServer, connect: Connect, reports: Reports
) -> None:
    store = connect(etcd.settings())
    granted: asyncio.Queue[int] = asyncio.Queue()

    async def renewed(lease: int) -> None:
        await store.write([put("heartbeat")], lease)
        granted.put_nowait(lease)

    await store.write([put("a")])
    etcd.back_up(etcd.home / "backup")
    async with Lease(store.leases, 2, renewed, reports):
        first = await granted.get()
        etcd.set_back(etcd.home / "backup")
        assert await asyncio.wait_for(granted.get(), 20) != first
        assert (await store.read("pools/heartbeat")).document == pool("heartbeat")
