# SPDX-License-Identifier: Apache-2.0
"""Heartbeats in a real API server: what an agent says of itself is in force while it renews its lease."""

import asyncio
import time

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.kubernetes.source import KubernetesSettings, KubernetesStore
from buoy.model.address import Address
from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.model.node import Node
from buoy.store.api_client import ApiServer
from buoy.store.lease import Lease
from buoy.store.store import Write
from tests.store.api.kube import KubeServer
from tests.store.watching import Reports, Watching, put

HEARTBEAT = Node(name="node-1", addresses=(Address("192.0.2.51"),))


@pytest.fixture(autouse=True)
async def clean(kube: KubeServer) -> None:
    """Every test begins with no heartbeat."""
    kube.kubectl("delete", "pools.buoy.dev,nodestatuses.buoy.dev", "--all")
    kube.kubectl("delete", "leases", "--all", "-n", "buoy-system")


async def test_a_heartbeat_is_there_while_its_lease_is_renewed(store: KubernetesStore, reports: Reports) -> None:
    async def renewed(lease: int) -> None:
        await store.write([Write("nodes/node-1", HEARTBEAT)], lease)

    async with Watching(store, ("nodes/",)) as watching:
        first = await watching.next()
        assert {} == first.snapshot.documents
        async with Lease(store.leases, 1, renewed, reports):
            batch, _ = await watching.until(lambda batch: "nodes/node-1" in batch.snapshot.documents)
            assert HEARTBEAT == batch.snapshot.documents["nodes/node-1"]
            coming = asyncio.create_task(watching.next())
            await asyncio.sleep(2)
            assert not coming.done()
            coming.cancel()
            await asyncio.wait((coming,))
        assert [] == reports.all


async def test_a_heartbeat_without_a_living_agent_is_none(store: KubernetesStore) -> None:
    lease = await store.leases.grant(1)
    await store.write([Write("nodes/node-1", HEARTBEAT)], lease)
    async with Watching(store, ("nodes/",)) as watching:
        # who was heard of for the first time may have spoken just before
        first = await watching.next()
        assert ["nodes/node-1"] == list(first.snapshot.documents)
        _, changed = await watching.until(lambda batch: not batch.snapshot.documents)
        assert {"nodes/node-1"} == changed
        assert await store.leases.keep(lease)
        await watching.until(lambda batch: "nodes/node-1" in batch.snapshot.documents)


async def test_an_agent_that_leaves_for_good_takes_its_heartbeat_along(store: KubernetesStore) -> None:
    lease = await store.leases.grant(60)
    await store.write([Write("nodes/node-1", HEARTBEAT)], lease)
    async with Watching(store, ("nodes/",)) as watching:
        await watching.next()
        await store.leases.revoke(lease)
        await watching.until(lambda batch: not batch.snapshot.documents)
    assert not await store.leases.keep(lease)
    with pytest.raises(Conflict):
        await store.write([Write("nodes/node-1", HEARTBEAT)], lease)


async def test_who_is_no_node_has_no_lease(kube: KubeServer) -> None:
    store = KubernetesStore(ApiServer(kube.settings()))
    with pytest.raises(InvalidInput, match="node"):
        await store.leases.grant(1)
    await store.close()


async def test_an_outage_is_nobodys_death(kube: KubeServer, store: KubernetesStore) -> None:
    lease = await store.leases.grant(4)
    await store.write([Write("nodes/node-1", HEARTBEAT)], lease)
    async with Watching(store, ("nodes/", "pools/")) as watching:
        await watching.next()
        kube.freeze()
        coming = asyncio.create_task(watching.next())
        try:
            for _ in range(4):
                with pytest.raises(StoreUnavailable):
                    await store.leases.keep(lease)
            # eight seconds of a lease of four
            assert not coming.done()
        finally:
            kube.thaw()
        assert await store.leases.keep(lease)
        await store.write([put("a", "one")])
        batch = await coming
        assert frozenset({"pools/a"}) == batch.changed
        assert "nodes/node-1" in batch.snapshot.documents


def test_who_is_dead_can_be_fenced_and_who_lives_cannot(kube: KubeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def beat(seconds: int) -> None:
        agent = KubernetesStore(ApiServer(kube.settings()), KubernetesSettings(node="node-1"))
        await agent.write([Write("nodes/node-1", HEARTBEAT)], await agent.leases.grant(seconds))
        await agent.close()

    monkeypatch.setattr(context, "open_any", lambda _: KubernetesStore(ApiServer(kube.settings())))
    fence = ("--kubeconfig", "/nowhere", "node", "fence", "node-1")
    asyncio.run(beat(60))
    assert isinstance(CliRunner().invoke(app, fence).exception, Conflict)
    asyncio.run(beat(1))
    # by the server's clock, of which HTTP tells whole seconds
    time.sleep(3)
    assert 0 == CliRunner().invoke(app, fence).exit_code
    kube.kubectl("delete", "fences.buoy.dev", "node-1")
