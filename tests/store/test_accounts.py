# SPDX-License-Identifier: Apache-2.0
"""Accounts: tokens that expire, passwords that change, and an agent that may write only of itself."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from buoy.model.errors import Conflict, InvalidInput
from buoy.model.node import Node
from buoy.model.status import State, WorkloadStatus
from buoy.store.accounts import Administrator
from buoy.store.etcd import EtcdStore
from buoy.store.roles import Kind, Right, role
from buoy.store.settings import StoreSettings
from buoy.store.store import Write
from tests.store.etcd_server import EtcdServer
from tests.store.watching import Reports, Watching, put, texts

Connect = Callable[[StoreSettings], EtcdStore]

AGENT = role(Kind.AGENT, "compute-1", "/buoy/v1/")
WRITER = role(Kind.WRITER, "neutron", "/buoy/v1/")
READER = role(Kind.READER, "watch", "/buoy/v1/")


@pytest.fixture
def guarded() -> Iterator[EtcdServer]:
    """An etcd whose tokens last three seconds."""
    server = EtcdServer(["--auth-token-ttl", "3"])
    try:
        server.start()
        yield server
    finally:
        server.remove()


def account(server: EtcdServer, name: str, password: str) -> StoreSettings:
    file = server.home / f"{name}.password"
    file.write_text(password + "\n")
    return msgspec.structs.replace(server.settings(), username=name, password_file=str(file))


async def prepare(server: EtcdServer) -> StoreSettings:
    """Make a writer and an agent of compute-1, ask for accounts from now on; return the writer's settings."""
    async with Administrator(server.settings()) as administrator:
        await administrator.add("neutron", WRITER, "n")
        await administrator.add("buoy-agent-compute-1", AGENT, "a")
        await administrator.enable("r")
    return account(server, "neutron", "n")


def status(node: str) -> Write:
    return Write(
        f"status/{node}/workload/w", WorkloadStatus(node=node, workload="w", state=State.ACTIVE, revision=1), None
    )


async def test_an_expired_token_is_renewed_unseen(guarded: EtcdServer, connect: Connect) -> None:
    store = connect(await prepare(guarded))
    await store.write([put("a")])
    await asyncio.sleep(6)
    await store.write([put("b")])
    assert (await store.read("pools/a")).revision > 0


async def test_a_watch_goes_on_after_its_token_expired_and_etcd_was_restarted(
    guarded: EtcdServer, connect: Connect
) -> None:
    settings = await prepare(guarded)
    async with Watching(connect(settings)) as watching:
        await watching.next()
        await connect(settings).write([put("a")])
        await watching.next()
        await asyncio.sleep(6)
        await connect(settings).write([put("b")])
        assert (await watching.next()).changed == frozenset({"pools/b"})
        guarded.kill()
        guarded.start()
        await connect(settings).write([put("c")])
        assert (await watching.next()).changed == frozenset({"pools/c"})


async def test_an_agent_writes_its_own_status_and_heartbeat_and_reads_everything(
    guarded: EtcdServer, connect: Connect
) -> None:
    writer = connect(await prepare(guarded))
    await writer.write([put("a")])
    agent = connect(account(guarded, "buoy-agent-compute-1", "a"))
    await agent.write([status("compute-1")])
    await agent.write([Write("nodes/compute-1", Node(name="compute-1"))], await agent.leases.grant(10))
    async with Watching(agent, ["pools/", "status/compute-1/"]) as watching:
        assert texts(await watching.next()) == {"a": ""}


@pytest.mark.parametrize(
    "outside",
    [
        put("a"),
        status("compute-2"),
        status("compute-10"),
        Write("nodes/compute-10", Node(name="compute-10")),
    ],
    ids=lambda write: write.path,
)
async def test_an_agent_that_writes_elsewhere_is_refused_by_name(
    guarded: EtcdServer, connect: Connect, outside: Write
) -> None:
    await prepare(guarded)
    agent = connect(account(guarded, "buoy-agent-compute-1", "a"))
    with pytest.raises(InvalidInput) as refused:
        await agent.write([status("compute-1"), outside])
    assert refused.value.field == "username"
    assert refused.value.value == "buoy-agent-compute-1"
    assert outside.path in refused.value.remedy
    assert "permission denied" in refused.value.remedy
    assert (await agent.read("status/compute-1/workload/w")).revision == 0


async def test_without_an_account_a_cluster_that_asks_for_one_says_so(guarded: EtcdServer, connect: Connect) -> None:
    await prepare(guarded)
    with pytest.raises(InvalidInput, match="username"):
        await connect(guarded.settings()).read("pools/a")


async def test_a_wrong_password_is_the_operators_to_correct(guarded: EtcdServer, connect: Connect) -> None:
    await prepare(guarded)
    store = connect(account(guarded, "neutron", "wrong"))
    with pytest.raises(InvalidInput, match="check username and password_file"):
        await store.read("pools/a")
    account(guarded, "neutron", "n")
    assert (await store.read("pools/a")).revision == 0


async def test_a_watch_with_a_wrong_password_reports_and_waits(
    guarded: EtcdServer, connect: Connect, reports: Reports
) -> None:
    await prepare(guarded)
    async with Watching(connect(account(guarded, "neutron", "wrong"))) as watching:
        first = asyncio.create_task(watching.next())
        await reports.heard(2)
        account(guarded, "neutron", "n")
        assert (await first).changed is None
    assert "password_file" in str(reports.all[0])


async def test_an_account_prepared_before_the_cluster_asks_for_it_works_before_and_after(
    guarded: EtcdServer, connect: Connect
) -> None:
    store = connect(account(guarded, "neutron", "n"))
    await store.write([put("before")])
    await prepare(guarded)
    await store.write([put("after")])
    assert (await store.read("pools/after")).revision > 0


async def test_a_missing_password_file_is_named(guarded: EtcdServer, connect: Connect) -> None:
    settings = account(guarded, "neutron", "n")
    Path(settings.password_file).unlink()
    with pytest.raises(InvalidInput, match=r"password_file: .*neutron\.password.*No such file"):
        await connect(settings).read("pools/a")


async def test_adding_an_agent_again_sets_its_password(guarded: EtcdServer, connect: Connect) -> None:
    await prepare(guarded)
    async with Administrator(account(guarded, "root", "r")) as administrator:
        assert "password set" == await administrator.add("buoy-agent-compute-1", AGENT, "new")
    await connect(account(guarded, "buoy-agent-compute-1", "new")).write([status("compute-1")])


async def test_only_an_administrator_adds_agents(guarded: EtcdServer) -> None:
    async with Administrator(await prepare(guarded)) as writer:
        with pytest.raises(InvalidInput, match="may not do this"):
            await writer.add("buoy-agent-compute-2", role(Kind.AGENT, "compute-2", "/buoy/v1/"), "x")


async def test_accounts_are_listed_with_what_they_may_do(guarded: EtcdServer) -> None:
    await prepare(guarded)
    async with Administrator(account(guarded, "root", "r")) as root:
        found = await root.accounts()
    assert ["buoy-agent-compute-1", "neutron", "root"] == list(found)
    assert (
        Right("/buoy/v1/", "/buoy/v10", "read"),
        Right("/buoy/v1/nodes/compute-1", "", "readwrite"),
        Right("/buoy/v1/status/compute-1/", "/buoy/v1/status/compute-10", "readwrite"),
    ) == found["buoy-agent-compute-1"].rights
    assert (Right("/buoy/v1/", "/buoy/v10", "readwrite"),) == found["neutron"].rights
    assert [frozenset({"compute-1"}), frozenset(), frozenset()] == [each.nodes for each in found.values()]


async def test_a_reader_writes_nothing(guarded: EtcdServer, connect: Connect) -> None:
    writer = connect(await prepare(guarded))
    await writer.write([put("a")])
    async with Administrator(account(guarded, "root", "r")) as root:
        assert "created" == await root.add("watch", READER, "w")
    reader = connect(account(guarded, "watch", "w"))
    assert (await reader.read("pools/a")).revision > 0
    with pytest.raises(InvalidInput, match="permission denied"):
        await reader.write([put("b")])


async def test_adding_what_is_there_changes_nothing(guarded: EtcdServer) -> None:
    await prepare(guarded)
    async with Administrator(account(guarded, "root", "r")) as root:
        before = await root.accounts()
        assert "unchanged" == await root.add("buoy-agent-compute-1", AGENT)
        assert before == await root.accounts()


async def test_a_role_that_another_hand_widened_is_seen_and_put_right(guarded: EtcdServer) -> None:
    async with Administrator(guarded.settings()) as administrator:
        await administrator.add("buoy-agent-compute-1", AGENT, "a")
        guarded.etcdctl("role", "grant-permission", AGENT.name, "--prefix=true", "readwrite", "/buoy/v1/service-ips/")
        guarded.etcdctl("role", "grant-permission", AGENT.name, "--prefix=true", "readwrite", "/buoy/v1/")
        assert (await administrator.accounts())["buoy-agent-compute-1"].drift
        assert "rights corrected" == await administrator.add("buoy-agent-compute-1", AGENT)
        corrected = (await administrator.accounts())["buoy-agent-compute-1"]
    assert (AGENT.rights, False) == (corrected.rights, corrected.drift)


async def test_an_addition_that_was_killed_halfway_is_finished_by_the_next(guarded: EtcdServer) -> None:
    guarded.etcdctl("role", "add", AGENT.name)
    guarded.etcdctl("user", "add", "buoy-agent-compute-1:a")
    async with Administrator(guarded.settings()) as administrator:
        done = await administrator.add("buoy-agent-compute-1", AGENT)
        assert f"rights corrected, role {AGENT.name} granted" == done
        assert AGENT.rights == (await administrator.accounts())["buoy-agent-compute-1"].rights


async def test_an_account_that_is_for_something_else_is_left_alone(guarded: EtcdServer) -> None:
    async with Administrator(guarded.settings()) as administrator:
        await administrator.add("neutron", WRITER, "n")
        with pytest.raises(Conflict, match="has the role buoy-writer"):
            await administrator.add("neutron", READER)
        with pytest.raises(Conflict, match="etcd's own"):
            await administrator.add("root", WRITER)
        assert WRITER.rights == (await administrator.accounts())["neutron"].rights


async def test_a_removed_agent_leaves_neither_account_nor_role_and_may_be_removed_again(guarded: EtcdServer) -> None:
    async with Administrator(guarded.settings()) as administrator:
        await administrator.add("buoy-agent-compute-1", AGENT, "a")
        await administrator.add("host-1.example.org", AGENT)
        found = await administrator.accounts()
        await administrator.remove(found["buoy-agent-compute-1"])
        assert AGENT.rights == (await administrator.accounts())["host-1.example.org"].rights
        await administrator.remove(found["host-1.example.org"])
        await administrator.remove(found["host-1.example.org"])
        assert {} == await administrator.accounts()
    assert "" == guarded.etcdctl("role", "list")


async def test_a_cluster_says_whether_it_asks_for_accounts(guarded: EtcdServer) -> None:
    async with Administrator(guarded.settings()) as administrator:
        assert not await administrator.asks()
    await prepare(guarded)
    async with Administrator(account(guarded, "root", "r")) as root:
        assert await root.asks()
        await root.disable()
        assert not await root.asks()


async def test_enabling_again_changes_nothing_not_even_roots_password(guarded: EtcdServer) -> None:
    await prepare(guarded)
    async with Administrator(account(guarded, "root", "r")) as root:
        assert not await root.enable("new")
    async with Administrator(account(guarded, "root", "r")) as root:
        assert "root" in await root.accounts()


async def test_enabling_that_was_killed_halfway_is_finished_by_the_next(guarded: EtcdServer) -> None:
    guarded.etcdctl("user", "add", "root:forgotten")
    async with Administrator(guarded.settings()) as administrator:
        assert await administrator.enable("r")
    async with Administrator(account(guarded, "root", "r")) as root:
        assert ("root",) == (await root.accounts())["root"].roles


@pytest.mark.parametrize("name", ["", "compute/1", "../neutron", "-1", "a" * 129])
def test_a_name_that_could_reach_other_keys_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="NAME"):
        role(Kind.AGENT, name, "/buoy/v1/")
