# SPDX-License-Identifier: Apache-2.0
"""Leases in a real API server: a node's heartbeat, and controllers of which one leads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import pytest

from buoy.store.api_client import ApiServer
from buoy.store.api_leadership import Leadership
from buoy.store.api_lease import LEASES, Lease, keep, renew
from buoy.store.api_names import ObjectName, Target
from tests.store.api.kube import KubeServer
from tests.store.api.relay import Relay
from tests.store.watching import PATIENCE, Reports

TTL = 3


async def held(api: ApiServer, name: ObjectName) -> Lease:
    lease = await api.get(LEASES.at(name), Lease)
    assert lease is not None
    return lease


async def renewed(api: ApiServer, name: ObjectName, after: str | None = None) -> Lease:
    """Return the lease once it was renewed after a time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            lease = await api.get(LEASES.at(name), Lease)
            if lease is not None and lease.spec.renew_time != after:
                return lease
            await asyncio.sleep(0.05)


async def within(coming: object) -> None:
    await asyncio.wait_for(coming, PATIENCE)  # type: ignore[arg-type]


@pytest.fixture
async def others(kube: KubeServer) -> AsyncIterator[tuple[Relay, ApiServer]]:
    """A second client, behind a wire that can be held."""
    async with Relay(kube.port) as relay:
        api = ApiServer(kube.settings(server=f"https://127.0.0.1:{relay.port}"))
        yield relay, api
        await api.close()


async def test_heartbeat_makes_the_lease_and_renews_it(api: ApiServer, namespace: str, reports: Reports) -> None:
    name = ObjectName(namespace, "node-1")
    beating = asyncio.create_task(keep(api, name, "agent", 1, reports))
    first = await renewed(api, name)
    assert ("agent", 1) == (first.spec.holder_identity, first.spec.lease_duration_seconds)
    await renewed(api, name, first.spec.renew_time)
    assert await api.delete(LEASES.at(name))
    again = await renewed(api, name)
    assert first.metadata.uid != again.metadata.uid
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    assert "agent" == (await held(api, name)).spec.holder_identity
    assert [] == reports.all


async def test_heartbeat_outlives_an_outage(
    api: ApiServer, others: tuple[Relay, ApiServer], namespace: str, reports: Reports
) -> None:
    relay, far = others
    name = ObjectName(namespace, "node-1")
    beating = asyncio.create_task(keep(far, name, "agent", 1, reports))
    first = await renewed(api, name)
    await relay.cut()
    await reports.heard(1)
    await relay.mend()
    await renewed(api, name, first.spec.renew_time)
    while reports.all[-1] is not None:
        await reports.heard(len(reports.all) + 1)
    beating.cancel()


async def test_one_leads_and_the_next_after_it_gave_the_lease_back(
    api: ApiServer, namespace: str, reports: Reports
) -> None:
    name = ObjectName(namespace, "controller")
    async with Leadership(api, name, "second", reports, TTL) as second:
        await within(second.acquired())
        async with Leadership(api, name, "first", reports, TTL) as first:
            async with asyncio.timeout(PATIENCE):
                while first.leader != "second":  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            assert (True, False) == (second.leading, first.leading)
            await second.__aexit__()
            assert not second.leading
            await within(first.acquired())
            assert (False, True) == (second.leading, first.leading)
    lease = await held(api, name)
    assert ("", 1) == (lease.spec.holder_identity, lease.spec.lease_transitions)
    assert [] == reports.all


async def test_leader_that_cannot_renew_stops_before_another_takes_over(
    api: ApiServer, others: tuple[Relay, ApiServer], namespace: str, reports: Reports
) -> None:
    relay, far = others
    name = ObjectName(namespace, "controller")
    led: list[str] = []
    async with Leadership(far, name, "cut off", reports, TTL) as cut_off:
        await within(cut_off.acquired())
        async with Leadership(api, name, "other", reports, TTL) as other:
            relay.hold()
            ends = asyncio.create_task(within(cut_off.lost()))
            begins = asyncio.create_task(within(other.acquired()))
            ends.add_done_callback(lambda _: led.append("cut off ends"))
            begins.add_done_callback(lambda _: led.append("other begins"))
            await ends
            await begins
            relay.let_go()
            async with asyncio.timeout(PATIENCE):
                while cut_off.leader != "other":  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            assert (False, True) == (cut_off.leading, other.leading)
    assert ["cut off ends", "other begins"] == led


async def test_two_that_come_at_once_do_not_both_lead(api: ApiServer, namespace: str, reports: Reports) -> None:
    name = ObjectName(namespace, "controller")
    candidates = [Leadership(api, name, f"candidate-{number}", reports, TTL) for number in range(4)]
    for candidate in candidates:
        await candidate.__aenter__()
    acquired = [asyncio.create_task(candidate.acquired()) for candidate in candidates]
    await asyncio.wait(acquired, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    lease = await held(api, name)
    leading = [f"candidate-{number}" for number, candidate in enumerate(candidates) if candidate.leading]
    assert [lease.spec.holder_identity] == leading
    for task in acquired:
        task.cancel()
    for candidate in candidates:
        await candidate.__aexit__()
    assert [] == reports.all, "another who was faster is no outage"


async def test_lease_deleted_under_a_leader_is_made_by_it_alone(
    api: ApiServer, namespace: str, reports: Reports
) -> None:
    name = ObjectName(namespace, "controller")
    async with Leadership(api, name, "leader", reports, TTL) as leader:
        await within(leader.acquired())
        async with Leadership(api, name, "other", reports, TTL) as other:
            async with asyncio.timeout(PATIENCE):
                while other.leader != "leader":  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            assert await api.delete(LEASES.at(name))
            assert "leader" == (await renewed(api, name)).spec.holder_identity
            assert (True, False) == (leader.leading, other.leading)


class Overtaken:
    """An API server at which somebody else is faster: it writes the lease right after we read it."""

    def __init__(self, api: ApiServer, name: ObjectName) -> None:
        self._api = api
        self._name = name
        self.times = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)

    async def get(self, target: Target, into: type[Lease]) -> Lease | None:
        read = await self._api.get(target, into)
        await renew(self._api, self._name, "faster", TTL)
        self.times += 1
        return read


async def test_who_was_overtaken_between_reading_and_writing_does_not_lead(
    api: ApiServer, namespace: str, reports: Reports
) -> None:
    name = ObjectName(namespace, "controller")
    async with Leadership(api, name, "first", reports, TTL) as first:
        await within(first.acquired())
    overtaken = Overtaken(api, name)
    async with Leadership(cast("ApiServer", overtaken), name, "slower", reports, TTL) as slower:
        async with asyncio.timeout(PATIENCE):
            while slower.leader != "faster":
                assert not slower.leading
                await asyncio.sleep(0.01)
        assert ("faster", False) == ((await held(api, name)).spec.holder_identity, slower.leading)
    assert overtaken.times >= 2
    assert [] == reports.all
