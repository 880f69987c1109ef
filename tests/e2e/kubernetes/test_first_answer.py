# SPDX-License-Identifier: Apache-2.0
"""A client that calls from before a Service exists, among many others: once answered, it is answered always."""

import asyncio

import msgspec
import pytest

from bench import kubernetes_crowd
from bench.kubernetes_calls import Calls, before_and_after
from bench.kubernetes_crowd import NAMESPACE, SERVICES, SLICES
from bench.kubernetes_ears import listening
from buoy.lab import pod
from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, pool

CROWD = 500
"""Services besides: so many that kube-proxy takes far longer than the way to the ToR."""
ADDRESS = "198.19.0.{}"
WORLD = "198.18.0.0/15"


@pytest.fixture(scope="module")
def crowd(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    """A cluster of many Services, all announced; the pods behind them, by address and node."""
    cluster.apply(pool("crowd", WORLD, priority=9))
    for number in (1, 2):
        cluster.pod(f"pod-{number}", f"node-{number}", {})
    ends = tuple((row["addresses"][0], row["node"]) for row in pod.listing(cluster.lab))

    async def fill() -> None:
        api = kubernetes_crowd.connect(cluster.lab)
        try:
            await kubernetes_crowd.fill(api, range(CROWD), *ends)
            await kubernetes_crowd.addressed(api, CROWD)
        finally:
            await api.close()

    asyncio.run(fill())
    [last] = eventually(lambda: cluster.external(f"crowd-{CROWD - 1}"))
    cluster.announced(f"{last}/32", "node-1", "node-2", seconds=120)
    return ends


@pytest.mark.parametrize("number", range(1, 5))
def test_no_call_fails_after_the_first_that_is_answered(
    cluster: Cluster, crowd: tuple[tuple[str, str], ...], number: int
) -> None:
    # one endpoint, so one next hop: a second one would move calls that are open at the ToR, which is not ours to help
    end, name, address = crowd[number % 2], f"new-{number}", ADDRESS.format(number)
    with listening(cluster.lab, "tor", "routes") as tor:
        client = Calls(cluster.lab, address, 0.005)
        try:
            asyncio.run(create(cluster, name, address, end))
            cluster.announced(f"{address}/32", end[1], seconds=60)
            eventually(lambda: cluster.http(address))
            routed = tor.became(address, bool)
        finally:
            said = client.end()
    assert "ok" in [call.said for call in said]
    assert ([], []) == before_and_after(said, routed), f"of {len(said)} calls"


async def create(cluster: Cluster, name: str, address: str, end: tuple[str, str]) -> None:
    """Create a Service with an endpoint at once, so that nothing but kube-proxy is late."""
    api = kubernetes_crowd.connect(cluster.lab)
    try:
        await api.create(SLICES, NAMESPACE, kubernetes_crowd.endpoints(name, end), msgspec.Raw)
        wanted = kubernetes_crowd.service(name, "Local", loadBalancerIP=address)
        await api.create(SERVICES, NAMESPACE, wanted, msgspec.Raw)
    finally:
        await api.close()
