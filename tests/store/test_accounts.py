"""Accounts: tokens that expire, passwords that change, and an agent that may write only of itself."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from buoy.model.errors import InvalidInput
from buoy.model.node import Node
from buoy.model.status import State, WorkloadStatus
from buoy.store.etcd import EtcdStore
from buoy.store.roles import add_agent, add_writer, enable
from buoy.store.settings import StoreSettings
from buoy.store.store import Write
from tests.store.etcd_server import EtcdServer
from tests.store.watching import Reports, Watching, put, texts

Connect = Callable[[StoreSettings], EtcdStore]


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
    await add_writer(server.settings(), "neutron", "n")
    await add_agent(server.settings(), "compute-1", "a")
    await enable(server.settings(), "r")
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
    assert await add_agent(account(guarded, "root", "r"), "compute-1", "new") == "buoy-agent-compute-1"
    await connect(account(guarded, "buoy-agent-compute-1", "new")).write([status("compute-1")])


async def test_only_an_administrator_adds_agents(guarded: EtcdServer) -> None:
    writer = await prepare(guarded)
    with pytest.raises(InvalidInput, match="may not do this"):
        await add_agent(writer, "compute-2", "x")
