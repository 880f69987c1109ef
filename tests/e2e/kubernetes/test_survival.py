# SPDX-License-Identifier: Apache-2.0
"""What a cluster survives without a client noticing.

Agent, BIRD, kube-proxy, controller or API server away; watches that are slow, cut or silent; objects past validation.
"""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import every_call_answered
from tests.e2e.kubernetes.cluster import Cluster, service
from tests.e2e.kubernetes.past_validation import compact, in_etcd, nonsense
from tests.e2e.watching import route_events

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
AWAY = 60
"""Seconds: as long as the promise says that the API server is away."""


@pytest.fixture(scope="module")
def kept(cluster: Cluster) -> str:
    """A Service with a pod on each node."""
    cluster.apply(service("kept", externalTrafficPolicy="Local"))
    for number in (1, 2):
        cluster.pod(f"kept-{number}", f"node-{number}", {"app": "kept"})
    [found] = eventually(lambda: cluster.external("kept"))
    return found


@pytest.fixture
def address(cluster: Cluster, kept: str) -> str:
    """A Service that both nodes announce, whatever the test before has left."""
    cluster.announced(f"{kept}/32", "node-1", "node-2", seconds=30)
    return kept


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


def test_kube_proxys_rules_flushed_and_loaded_again_on_one_node_cost_no_call(cluster: Cluster, address: str) -> None:
    with every_call_answered(cluster, address):
        cluster.lab.service("kill", "node-1", "kube-proxy")
        cluster.on("node-1", "nft", "delete", "table", "ip", "kube-proxy")
        cluster.announced(f"{address}/32", "node-2")
        cluster.lab.service("start", "node-1", "kube-proxy")
        cluster.announced(f"{address}/32", "node-1", "node-2", seconds=30)


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
    # at once: nobody waits for the lease of the one that was killed
    eventually(lambda: cluster.external("after-restart"))
    after = versions()
    assert before == {uid: after[uid] for uid in before}


def test_an_endpoint_that_moves_leaves_a_next_hop_at_every_moment(cluster: Cluster) -> None:
    cluster.apply(service("moves", externalTrafficPolicy="Local"))
    cluster.pod("moves-0", "node-1", {"app": "moves"}, terminates_for=3.0)
    [address] = eventually(lambda: cluster.external("moves"))
    cluster.announced(f"{address}/32", "node-1")
    with every_call_answered(cluster, address, joining=4), route_events(cluster, "tor", [address]) as events:
        for number in range(1, 5):
            cluster.pod(f"moves-{number}", f"node-{number % 2 + 1}", {"app": "moves"}, terminates_for=3.0)
            cluster.end(f"moves-{number - 1}")
    assert [] == [event for event in events if "Deleted" in event]


def test_with_the_api_server_away_calls_are_answered_and_changes_arrive_after(cluster: Cluster, address: str) -> None:
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.lab.service("kill", "controller", "apiserver")
        # who starts meanwhile knows of nothing, and takes nothing away
        for machine, daemon in (("node-1", "agent"), ("controller", "buoy")):
            cluster.lab.service("kill", machine, daemon)
            cluster.lab.service("start", machine, daemon)
        time.sleep(AWAY)
        assert f"{address} " in cluster.on("node-1", "ip", "route", "show", "table", "2053")
        # what followed the history must list everything anew: 410 Gone
        compact(cluster)
        cluster.lab.service("start", "controller", "apiserver")
        cluster.lab.wait_ready("controller", "apiserver")
        # this one elects no leader: one that does ends where its lease cannot be renewed, and begins anew like this
        cluster.lab.service("kill", "controller", "kcm")
        cluster.lab.service("start", "controller", "kcm")
        cluster.lab.wait_ready("controller", "kcm")
        time.sleep(3)
    assert [] == events
    cluster.ready("kept-2", is_ready=False)
    # kube-proxy comes back with pauses of up to half a minute
    cluster.announced(f"{address}/32", "node-1", seconds=90)
    cluster.ready("kept-2", is_ready=True)
    cluster.announced(f"{address}/32", "node-1", "node-2", seconds=90)


@pytest.fixture
def own_way(cluster: Cluster) -> Iterator[None]:
    """Let node-1's agent, and nobody else there, speak with the API server by IPv6, so that its way can be spoilt."""

    def speak(ours: str, other: str) -> None:
        cluster.on("node-1", "sed", "-i", f"s#https://{ours}:#https://{other}:#", "/etc/buoy/kubeconfig")
        cluster.lab.service("stop", "node-1", "agent")
        cluster.lab.service("start", "node-1", "agent")
        cluster.lab.wait_ready("node-1", "agent")

    speak("192.168.8.2", "[fd00:8::2]")
    yield
    speak(r"\[fd00:8::2\]", "192.168.8.2")


WAYS = {
    # a window of TCP's fits now and then
    "slow": "tcp sport 6443 ip6 saddr fd00:8::2 limit rate over 30 kbytes/second burst 3000 bytes drop",
    "silent": "tcp sport 6443 ip6 saddr fd00:8::2 drop",
    "cut": "tcp sport 6443 ip6 saddr fd00:8::2 counter reject with tcp reset",
}
TOKEN = "/run/secrets/buoy/token"


def spoilt(cluster: Cluster, way: str) -> None:
    """Spoil node-1's way to the API server until `mended`."""
    chain = "type filter hook input priority 0"
    cluster.on("node-1", "nft", f"table inet spoilt {{ chain input {{ {chain}; {WAYS[way]}; }}; }}")


def mended(cluster: Cluster) -> None:
    cluster.on("node-1", "nft", "delete", "table", "inet", "spoilt")


def exclude(cluster: Cluster, value: str) -> None:
    """Write a label of node-1 that only agents look at."""
    cluster.kubectl("label", "node", "node-1", "--overwrite", f"{EXCLUDE}={value}")


def test_an_agent_whose_watches_are_slow_cut_or_silent_loses_no_call_and_no_change(
    cluster: Cluster, address: str, own_way: None
) -> None:
    del own_way
    with every_call_answered(cluster, address):
        spoilt(cluster, "slow")
        exclude(cluster, "true")
        cluster.announced(f"{address}/32", "node-2", seconds=20)
        mended(cluster)
        for way in ("cut", "silent"):
            excluded = "true" if way == "silent" else "false"
            spoilt(cluster, way)
            exclude(cluster, excluded)
            time.sleep(2)
            mended(cluster)
            cluster.announced(
                f"{address}/32", *(["node-2"] if excluded == "true" else ["node-1", "node-2"]), seconds=20
            )
        exclude(cluster, "false")
        cluster.announced(f"{address}/32", "node-1", "node-2")


def test_an_agent_whose_token_is_good_no_more_goes_on_and_follows_with_the_next_one(
    cluster: Cluster, address: str
) -> None:
    token = cluster.on("node-1", "cat", TOKEN).strip()
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        cluster.on("node-1", "sh", "-c", f"echo expired > {TOKEN}")
        cluster.lab.service("kill", "node-1", "agent")
        cluster.lab.service("start", "node-1", "agent")
        eventually(lambda: "not valid" in agent_said(cluster), seconds=30)
        cluster.on("node-1", "sh", "-c", f"echo {token} > {TOKEN}")
        eventually(lambda: [line["ok"] for line in cluster.why(address, "node-1")], all, seconds=20)
    assert [] == events


def agent_said(cluster: Cluster) -> str:
    return "".join(file.read_text() for file in cluster.lab.log_files("node-1", "agent"))


def test_objects_written_past_validation_are_named_and_nothing_else_is_touched(cluster: Cluster, address: str) -> None:
    named = ("pools/odd", "pools/nets", "peers/odd", "serviceips.buoy.dev/odd", "bgppeers", "ipaddresspools")

    def unreadable() -> str:
        said = cluster.on("controller", "buoy", "status", check=False).splitlines()
        return "\n".join(line for line in said if line.startswith("document "))

    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        with in_etcd(cluster, nonsense(address)):
            said = eventually(unreadable, lambda seen: all(name in seen for name in named), seconds=30)
            cluster.apply(service("beside"))
            eventually(lambda: cluster.external("beside"))
        eventually(unreadable, lambda seen: seen == "", seconds=30)
    assert [] == events
    assert "192.0.2.300" in said


def test_no_log_has_a_traceback(cluster: Cluster) -> None:
    logs = Path(cluster.environment["KUBECONFIG"]).parent / "logs"
    found = subprocess.run(["grep", "-rl", "Traceback", str(logs)], capture_output=True, text=True, check=False)
    assert "" == found.stdout
