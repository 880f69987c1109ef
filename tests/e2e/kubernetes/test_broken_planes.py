# SPDX-License-Identifier: Apache-2.0
"""One plane broken by hand at a time: whether `buoy status` and `buoy why` name it, and what survives."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import every_call_answered
from tests.e2e.kubernetes.cluster import Cluster, pool, service

BOTH = ("node-1", "node-2")
CALICO = {"apiVersion": "projectcalico.org/v3"}
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers=true"


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    """A Service that both nodes announce, each with a pod; beside it is one that has none, which is nothing wrong."""
    for number, node in enumerate(BOTH, 1):
        cluster.pod(f"web-{number}", node, {"app": "web"})
    cluster.apply(web("one"), service("idle", externalTrafficPolicy="Local", selector={"app": "idle"}))
    [found] = eventually(lambda: cluster.external("one"))
    cluster.announced(f"{found}/32", *BOTH)
    return found


def web(name: str) -> dict[str, object]:
    return service(name, externalTrafficPolicy="Local", selector={"app": "web"})


def status(cluster: Cluster) -> str:
    """Return what `buoy status` says is wrong."""
    shown = cluster.on("controller", "buoy", "status", check=False)
    return "\n".join(line for line in shown.splitlines() if "  no  " in line)


def why(cluster: Cluster, target: str) -> str:
    """Return what `buoy why` says on a machine that is no node."""
    return cluster.on("controller", "buoy", "why", target, check=False)


def test_a_port_that_vanishes_from_kube_proxys_map_is_missed_and_named(cluster: Cluster, address: str) -> None:
    element = f"{{ {address} . tcp . 80 }}"
    cluster.on("node-1", "nft", "delete", "element", "ip", "kube-proxy", "service-ips", element)
    cluster.announced(f"{address}/32", "node-2")
    said = eventually(lambda: status(cluster), lambda seen: "not-proxied-yet on node-1" in seen)
    assert address in said
    with every_call_answered(cluster, address, joining=1):
        cluster.lab.service("kill", "node-1", "kube-proxy")
        cluster.lab.service("start", "node-1", "kube-proxy")
        cluster.announced(f"{address}/32", *BOTH, seconds=30)
    eventually(lambda: status(cluster), lambda seen: seen == "")


def test_a_node_whose_kube_proxy_hangs_announces_nothing_anew_and_is_named(cluster: Cluster, address: str) -> None:
    cluster.apply(service("moving", externalTrafficPolicy="Local", selector={"app": "moving"}))
    cluster.pod("moving-1", "node-1", {"app": "moving"})
    [moving] = eventually(lambda: cluster.external("moving"))
    cluster.announced(f"{moving}/32", "node-1")
    with hanging(cluster, "node-1"), every_call_answered(cluster, address):
        eventually(lambda: status(cluster), lambda seen: _has(seen, "node node-1", "kube-proxy does not answer"))
        [line] = [each for each in cluster.why(address, "node-1") if each["topic"] == "proxy"]
        assert "service-proxy-stuck" == line["reason"]
        cluster.end("moving-1")
        cluster.announced(f"{moving}/32")
        # kube-proxy still forwards it, to the pod that is gone
        cluster.pod("moving-2", "node-1", {"app": "moving"})
        eventually(lambda: status(cluster), lambda seen: _has(seen, f"address {moving}", "service-proxy-stuck"))
        cluster.announced(f"{address}/32", *BOTH)
        assert set() == cluster.hops(f"{moving}/32")
    cluster.announced(f"{moving}/32", "node-1")
    assert "moving-2" in cluster.http(moving)
    eventually(lambda: status(cluster), lambda seen: seen == "")


@contextlib.contextmanager
def hanging(cluster: Cluster, node: str) -> Iterator[None]:
    """Freeze a node's kube-proxy while the block lasts."""
    shown = cluster.on(node, "sh", "-c", "ss -Hltnp 'sport = :10256'")
    [process] = set(re.findall(r"pid=(\d+)", shown))
    cluster.on(node, "kill", "-STOP", process)
    try:
        yield
    finally:
        cluster.on(node, "kill", "-CONT", process)


def test_an_agent_and_a_controller_that_are_gone_are_named_and_announcements_stay(
    cluster: Cluster, address: str
) -> None:
    gone = [("node-1", "agent"), ("controller", "buoy")]
    with every_call_answered(cluster, address):
        for machine, daemon in gone:
            cluster.lab.service("kill", machine, daemon)
        cluster.apply(web("late"))
        said = eventually(
            lambda: status(cluster), lambda seen: "no agent" in seen and "nobody leads" in seen, seconds=45
        )
        assert "node node-1" in said
        assert "buoy why default/late" in said
        assert "no controller leads" in why(cluster, "service/late")
        for machine, daemon in gone:
            cluster.lab.service("start", machine, daemon)
        eventually(lambda: cluster.external("late"), seconds=40)
    eventually(lambda: status(cluster), lambda seen: seen == "", seconds=20)


def test_what_an_operator_does_wrong_is_named_where_it_shows(cluster: Cluster, address: str) -> None:
    cluster.apply(
        service("alone", externalTrafficPolicy="Local", selector={"app": "alone"}),
        service("misspelt", loadBalancerClass="buoy.dev/buyo"),
        pool("theirs", "198.51.100.0/28", registry="neutron"),
    )
    cluster.pod("alone", "node-1", {"app": "alone"})
    [alone] = eventually(lambda: cluster.external("alone"))
    cluster.announced(f"{alone}/32", "node-1")
    cluster.kubectl("label", "node", "node-1", EXCLUDED)
    told = {
        f"address {alone}": "node-excluded",
        "pool theirs": "Neutron keeps the books",
        "services": "default/misspelt",
    }
    eventually(lambda: status(cluster), lambda seen: all(_has(seen, *each) for each in told.items()), seconds=15)
    assert "looks like buoy.dev/buoy" in why(cluster, "default/misspelt")
    assert "node-1 attracts no traffic" in why(cluster, "svc/alone")
    cluster.kubectl("label", "node", "node-1", EXCLUDED.replace("=true", "-"))
    cluster.kubectl("delete", "pool/theirs", "service/alone", "service/misspelt")
    cluster.end("alone", wait=False)
    cluster.kubectl("delete", "pool", "public")
    eventually(lambda: status(cluster), lambda seen: _has(seen, "pool public", address))
    assert "drawn from pool public, which is not there any more" in why(cluster, address)
    cluster.apply(pool("public", "203.0.113.0/26", "2001:db8:113::/112"))
    eventually(lambda: status(cluster), lambda seen: seen == "", seconds=20)


def test_a_second_peer_with_a_wrong_as_and_a_bird_that_is_gone_are_named(cluster: Cluster, address: str) -> None:
    spec = {"peerIP": cluster.get("bgppeer", "tor")["spec"]["peerIP"], "asNumber": 64999}
    cluster.apply({**CALICO, "kind": "BGPPeer", "metadata": {"name": "another"}, "spec": spec})
    cluster.lab.service("stop", "node-2", "bird")
    told = [
        (f"address {address}", "no-established-peer: node-1"),
        ("bgppeer tor", "another speaks with"),
        ("node node-1", "peer_another"),
        ("node node-2", "is BIRD running there?"),
    ]
    eventually(lambda: status(cluster), lambda seen: all(_has(seen, *each) for each in told), seconds=20)
    cluster.kubectl("delete", "bgppeer", "another")
    cluster.lab.service("start", "node-2", "bird")
    eventually(lambda: status(cluster), lambda seen: seen == "", seconds=30)


def _has(seen: str, what: str, note: str) -> bool:
    """Tell whether a line of `buoy status` about something says this."""
    return any(line.startswith(f"{what} ") and note in line for line in seen.splitlines())


def test_what_strangers_take_away_is_put_back(cluster: Cluster, address: str) -> None:
    for command in ("ip route flush table 2053", "nft delete table inet buoy"):
        cluster.on("node-1", *command.split())
        eventually(lambda: [line["ok"] for line in cluster.why(address, "node-1")], all)
        cluster.announced(f"{address}/32", *BOTH)


def test_no_log_has_a_traceback(cluster: Cluster, address: str) -> None:
    del address
    logs = Path(cluster.environment["KUBECONFIG"]).parent / "logs"
    found = subprocess.run(["grep", "-rl", "Traceback", str(logs)], capture_output=True, text=True, check=False)
    assert "" == found.stdout
