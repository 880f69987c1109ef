# SPDX-License-Identifier: Apache-2.0
"""What every store keeps: run over the memory store and a real etcd."""

import asyncio

import pytest

from buoy.model.address import Prefix
from buoy.model.documents import encode
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.group import Member
from buoy.store.lease import Lease
from buoy.store.store import Store, Stored, Write
from tests.store.watching import Watching, gone, pool, put, texts


async def test_what_was_written_is_read_with_its_revision(store: Store) -> None:
    revision = await store.write([put("a", "first")])
    assert await store.read("pools/a") == Stored(pool("a", "first"), revision)


async def test_nothing_stands_at_revision_zero(store: Store) -> None:
    assert await store.read("pools/absent") == Stored(None, 0)


async def test_a_document_is_created_only_if_absent(store: Store) -> None:
    await store.write([put("a", "first", expected=0)])
    with pytest.raises(Conflict, match="pools/a: expected revision 0, is"):
        await store.write([put("a", "second", expected=0)])
    assert (await store.read("pools/a")).document == pool("a", "first")


async def test_a_document_is_changed_only_at_its_expected_revision(store: Store) -> None:
    first = await store.write([put("a", "first")])
    second = await store.write([put("a", "second", expected=first)])
    with pytest.raises(Conflict):
        await store.write([put("a", "third", expected=first)])
    assert await store.read("pools/a") == Stored(pool("a", "second"), second)


async def test_a_document_is_deleted_only_at_its_expected_revision(store: Store) -> None:
    first = await store.write([put("a")])
    with pytest.raises(Conflict):
        await store.write([gone("a", expected=first - 1)])
    await store.write([gone("a", expected=first)])
    assert await store.read("pools/a") == Stored(None, 0)


async def test_deleting_what_is_not_there_succeeds_and_changes_nothing(store: Store) -> None:
    before = await store.write([put("a")])
    assert await store.write([gone("absent")]) == before


async def test_a_transaction_with_one_conflict_writes_nothing(store: Store) -> None:
    await store.write([put("b", "held")])
    with pytest.raises(Conflict, match="pools/b"):
        await store.write([put("a", expected=0), put("b", "lost", expected=0), gone("c")])
    assert await store.read("pools/a") == Stored(None, 0)
    assert (await store.read("pools/b")).document == pool("b", "held")


async def test_an_empty_transaction_tells_the_revision(store: Store) -> None:
    revision = await store.write([put("a")])
    assert await store.write([]) == revision


async def test_a_path_written_twice_in_one_transaction_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="pools/a"):
        await store.write([put("a", "first"), put("a", "second")])


async def test_a_transaction_may_hold_128_writes_and_no_more(store: Store) -> None:
    await store.write([put(f"p{number}", expected=0) for number in range(128)])
    with pytest.raises(InvalidInput, match="at most 128"):
        await store.write([put(f"q{number}") for number in range(129)])


async def test_a_watch_begins_with_everything_under_its_prefixes(store: Store) -> None:
    await store.write(
        [put("a", "x"), Write("members/g/192.0.2.7/32", Member(group="g", prefix=Prefix("192.0.2.7/32")))]
    )
    async with Watching(store, ["pools/"]) as watching:
        batch = await watching.next()
        assert batch.changed is None
        assert texts(batch) == {"a": "x"}
        assert set(batch.snapshot.documents) == {"pools/a"}


async def test_a_watch_of_an_empty_store_begins_with_an_empty_listing(store: Store) -> None:
    async with Watching(store) as watching:
        batch = await watching.next()
        assert (batch.changed, dict(batch.snapshot.documents)) == (None, {})


async def test_a_change_is_told_with_its_path_and_revision(store: Store) -> None:
    async with Watching(store) as watching:
        await watching.next()
        revision = await store.write([put("a", "x")])
        batch = await watching.next()
        assert batch.changed == frozenset({"pools/a"})
        assert batch.snapshot.revisions == {"pools/a": revision}
        assert batch.snapshot.identity.revision == revision


async def test_a_deletion_is_told(store: Store) -> None:
    await store.write([put("a")])
    async with Watching(store) as watching:
        await watching.next()
        await store.write([gone("a")])
        batch = await watching.next()
        assert batch.changed == frozenset({"pools/a"})
        assert texts(batch) == {}


async def test_one_transaction_is_one_batch_also_across_prefixes(store: Store) -> None:
    async with Watching(store, ["pools/", "members/"]) as watching:
        await watching.next()
        for number in range(50):
            member = Member(group="g", prefix=Prefix(f"192.0.2.{number}/32"))
            path = f"members/g/192.0.2.{number}/32"
            await store.write([put("a", str(number)), Write(path, member)])
            batch = await watching.next()
            assert batch.changed == frozenset({"pools/a", path})


@pytest.mark.parametrize("prefixes", [["members/"], ["members/", "groups/"]])
async def test_what_is_outside_the_prefixes_is_not_told(store: Store, prefixes: list[str]) -> None:
    async with Watching(store, prefixes) as watching:
        await watching.next()
        await store.write([put("a")])
        member = Write("members/g/192.0.2.7/32", Member(group="g", prefix=Prefix("192.0.2.7/32")))
        await store.write([member])
        assert (await watching.next()).changed == frozenset({member.path})


async def test_two_watches_hear_the_same(store: Store) -> None:
    async with Watching(store) as one, Watching(store) as other:
        await one.next()
        await other.next()
        await store.write([put("a")])
        assert (await one.next()).changed == (await other.next()).changed == frozenset({"pools/a"})


async def test_a_leased_document_goes_with_its_lease(store: Store) -> None:
    async with Watching(store) as watching:
        await watching.next()
        lease = await store.leases.grant(1)
        await store.write([put("a")], lease)
        await store.write([put("b")])
        await watching.until(lambda batch: texts(batch) == {"a": "", "b": ""})
        batch = await watching.next()
        assert batch.changed == frozenset({"pools/a"})
        assert texts(batch) == {"b": ""}


async def test_a_revoked_lease_takes_its_documents_at_once(store: Store) -> None:
    lease = await store.leases.grant(60)
    await store.write([put("a")], lease)
    await store.leases.revoke(lease)
    await store.leases.revoke(lease)
    assert await store.read("pools/a") == Stored(None, 0)
    assert await store.leases.keep(lease) is False


async def test_a_write_under_a_lease_that_is_gone_is_a_conflict(store: Store) -> None:
    lease = await store.leases.grant(60)
    await store.leases.revoke(lease)
    with pytest.raises(Conflict, match="lease"):
        await store.write([put("a")], lease)


async def test_a_document_written_again_under_a_new_lease_outlives_the_old_one(store: Store) -> None:
    old = await store.leases.grant(60)
    await store.write([put("a", "old")], old)
    await store.write([put("a", "new")], await store.leases.grant(60))
    await store.leases.revoke(old)
    assert (await store.read("pools/a")).document == pool("a", "new")


async def test_a_kept_lease_outlives_its_time_and_is_granted_again_after_it_was_lost(store: Store) -> None:
    granted: asyncio.Queue[int] = asyncio.Queue()

    async def renewed(lease: int) -> None:
        await store.write([put("a")], lease)
        granted.put_nowait(lease)

    async with Lease(store.leases, 2, renewed, lambda _: None) as lease:
        first = await asyncio.wait_for(granted.get(), 10)
        await asyncio.sleep(3)
        assert (await store.read("pools/a")).document == pool("a")
        assert lease.id == first
        await store.leases.revoke(first)
        second = await asyncio.wait_for(granted.get(), 10)
        assert (await store.read("pools/a")).document == pool("a")
        await lease.revoke()
    assert second != first
    assert await store.read("pools/a") == Stored(None, 0)


async def test_the_same_documents_have_the_same_bytes(store: Store) -> None:
    await store.write([put("a", "x")])
    assert encode((await store.read("pools/a")).document or pool("")) == encode(pool("a", "x"))
