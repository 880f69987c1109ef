# SPDX-License-Identifier: Apache-2.0
"""What a cluster survives without a client noticing: agent, BIRD, kube-proxy, controller or API server away."""

import time

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import calls, every_call_answered
from tests.e2e.kubernetes.cluster import Cluster, service
from tests.e2e.watching import route_events

AWAY = 60
"""Seconds: as long as the promise says that the API server is away."""


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    """A Service that both nodes announce, each with a pod of its own."""
    cluster.apply(service("kept", externalTrafficPolicy="Local"))
    for number in (1, 2):
        cluster.pod(f"kept-{number}", f"node-{number}", {"app": "kept"})
    [found] = eventually(lambda: cluster.external("kept"))
    cluster.announced(f"{found}/32", "node-1", "node-2")
    return found


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_an_agent_that_restarts_moves_no_next_hop(cluster: Cluster, address: str, action: str) -> None:
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.lab.service(action, "node-1", "agent")
        time.sleep(1)
        cluster.lab.service("start", "node-1", "agent")
        cluster.lab.wait_ready("node-1", "agent")
        eventually(lambda: [line["ok"] for line in cluster.why(address, "node-1")], all)
    assert [] == events


def test_a_bird_that_is_killed_and_comes_back_moves_no_next_hop(cluster: Cluster, address: str) -> None:
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.lab.service("kill", "node-1", "bird")
        cluster.lab.service("start", "node-1", "bird")
        cluster.lab.wait_ready("node-1", "bird")
        eventually(lambda: [line["ok"] for line in cluster.why(address, "node-1")], all, seconds=30)
    assert [] == events
    assert {"node-1", "node-2"} == cluster.hops(f"{address}/32")


def test_a_kube_proxy_that_restarts_moves_no_next_hop(cluster: Cluster, address: str) -> None:
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.lab.service("kill", "node-1", "kube-proxy")
        cluster.lab.service("start", "node-1", "kube-proxy")
        cluster.lab.wait_ready("node-1", "kube-proxy")
        time.sleep(2)
    assert [] == events


def test_a_controller_that_restarts_writes_nothing(cluster: Cluster, address: str) -> None:
    del address

    def versions() -> dict[str, str]:
        items = [*cluster.get("services", "-A")["items"], *cluster.get("serviceips")["items"]]
        return {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in items}

    before = versions()
    cluster.lab.service("kill", "controller", "buoy")
    cluster.lab.service("start", "controller", "buoy")
    cluster.lab.wait_ready("controller", "buoy")
    cluster.apply(service("after-restart"))
    eventually(lambda: cluster.external("after-restart"), seconds=30)
    after = versions()
    assert before == {uid: after[uid] for uid in before}


def test_an_endpoint_that_moves_leaves_a_next_hop_at_every_moment(cluster: Cluster) -> None:
    cluster.apply(service("moves", externalTrafficPolicy="Local"))
    cluster.pod("moves-0", "node-1", {"app": "moves"}, terminates_for=3.0)
    [address] = eventually(lambda: cluster.external("moves"))
    cluster.announced(f"{address}/32", "node-1")
    with calls(cluster, address) as said, route_events(cluster, "tor", [address]) as events:
        for number in range(1, 5):
            cluster.pod(f"moves-{number}", f"node-{number % 2 + 1}", {"app": "moves"}, terminates_for=3.0)
            cluster.end(f"moves-{number - 1}")
    assert [] == [event for event in events if "Deleted" in event]
    # a router that spreads by hash sends a flow elsewhere when its next hops change, where nobody knows it
    assert [] == [line for line in said if line != "ok" and "ConnectionReset" not in line], f"of {len(said)} calls"


def test_with_the_api_server_away_calls_are_answered_and_changes_arrive_after(cluster: Cluster, address: str) -> None:
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.lab.service("kill", "controller", "apiserver")
        time.sleep(AWAY)
        cluster.lab.service("start", "controller", "apiserver")
        cluster.lab.wait_ready("controller", "apiserver")
        time.sleep(3)
    assert [] == events
    cluster.ready("kept-2", is_ready=False)
    # Kubernetes' own controllers and kube-proxy come back with pauses of up to half a minute
    cluster.announced(f"{address}/32", "node-1", seconds=90)
    cluster.ready("kept-2", is_ready=True)
    cluster.announced(f"{address}/32", "node-1", "node-2", seconds=90)
