# SPDX-License-Identifier: Apache-2.0
"""A pool's status says how it is, whoever wrote it before, and its figures are those of who leads."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from buoy.controller import pool_status
from buoy.controller.metrics import Metrics
from buoy.controller.observe import POOLS
from buoy.controller.pool_status import PoolReports
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import Cluster

PUBLIC = POOLS.at(ObjectName("", "public"), "status")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_status, "PAUSE", 0.0)


class Leader:
    """A controller that leads while `term` lasts, over a pool of which one Service has an address."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.pool("public", "192.0.2.0/29", "2001:db8::/126")
        self.cluster.service("web")
        self.metrics = Metrics()
        controller = self.cluster.controllers[0]
        self._reports = PoolReports(controller.world, controller.api, self.metrics, lambda: self.cluster.now)

    @contextlib.asynccontextmanager
    async def term(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._reports.run())
        await self.cluster.settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def status(self) -> Any:  # noqa: ANN401  JSON
        found = self.cluster.server.get(PUBLIC)
        return found and found.get("status")

    def figures(self) -> dict[str, float]:
        """Return how many addresses of each family somebody has, as the metrics say it."""
        (metric,) = self.metrics.pool_addresses.collect()
        return {each.labels["family"]: each.value for each in metric.samples if each.labels["state"] == "live"}


async def test_who_leads_again_does_not_take_for_said_what_it_said_last_time() -> None:
    leader = Leader()
    async with leader.term():
        assert 1 == leader.status()["used"]
    leader.cluster.server.patch(PUBLIC, {"status": {"used": 7}})
    async with leader.term():
        assert 1 == leader.status()["used"]


async def test_a_pool_that_was_deleted_and_made_anew_at_once_has_its_status() -> None:
    leader = Leader()
    async with leader.term():
        before = leader.status()
        leader.cluster.server.delete(PUBLIC)
        leader.cluster.pool("public", "192.0.2.0/29", "2001:db8::/126")
        assert leader.status() is None
        await leader.cluster.settle()
        assert before == leader.status()


async def test_the_status_of_a_backup_is_put_right() -> None:
    leader = Leader()
    async with leader.term():
        backup = copy.deepcopy(leader.cluster.server)
        backup.patch(PUBLIC, {"status": {"used": 7}})
        leader.cluster.set_back(backup)
        await leader.cluster.settle()
        assert 1 == leader.status()["used"]


async def test_figures_are_of_pools_that_are_and_of_who_leads() -> None:
    leader = Leader()
    async with leader.term():
        assert {"IPv4": 1.0, "IPv6": 0.0} == leader.figures()
        leader.cluster.pool("public", "192.0.2.0/29")
        await leader.cluster.settle()
        assert {"IPv4": 1.0} == leader.figures()
    assert {} == leader.figures()
    async with leader.term():
        assert {"IPv4": 1.0} == leader.figures()
        leader.cluster.server.delete(PUBLIC)
        await leader.cluster.settle()
        assert {} == leader.figures()


async def test_a_pool_made_smaller_names_what_of_it_is_in_use_beyond_it_until_it_is_released() -> None:
    leader = Leader()
    for number in range(5):
        leader.cluster.service(f"more-{number}")
    async with leader.term():
        assert (6, "") == (leader.status()["used"], leader.status()["message"])
        leader.cluster.pool("public", "192.0.2.8/29")
        await leader.cluster.settle()
        named = "192.0.2.0, 192.0.2.1, 192.0.2.2, 192.0.2.3, +2"
        assert f"6 of its addresses in use lie outside it, and are kept: {named}" == leader.status()["message"]
        assert 0 == leader.status()["used"]
        assert ["192.0.2.0"] == leader.cluster.addresses("web")
        for name in ("web", *(f"more-{number}" for number in range(4))):
            leader.cluster.delete(name)
        await leader.cluster.settle()
        kept = "1 of its addresses in use lie outside it, and are kept: 192.0.2.5"
        assert kept == leader.status()["message"]
