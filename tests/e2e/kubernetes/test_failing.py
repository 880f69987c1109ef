# SPDX-License-Identifier: Apache-2.0
"""A node that is cut off, ends or is deleted: its next hop goes, by BFD within a second, and comes back with it."""

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import calls, every_call_answered
from tests.e2e.kubernetes.cluster import Cluster, service


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    """A Service that both nodes announce, each with a pod, to a ToR that notices a silent loss by BFD."""
    # Calico's BGPPeer knows no BFD: Buoy's own Peer of the same name is in force instead
    cluster.on("controller", "buoy", "peer", "set", "tor", "--bfd")
    # a loss that BFD notices is a death, and no restart
    cluster.on("tor", "sed", "-i", "s/bfd graceful;/bfd on;/", "/etc/buoy/bird.conf")
    assert "Reconfigured" in cluster.on("tor", "birdc", "-s", "/run/buoy/bird.ctl", "configure")
    cluster.apply(service("kept", externalTrafficPolicy="Local"))
    for number in (1, 2):
        cluster.pod(f"kept-{number}", f"node-{number}", {"app": "kept"})
    [found] = eventually(lambda: cluster.external("kept"))
    cluster.announced(f"{found}/32", "node-1", "node-2", seconds=20)
    eventually(lambda: cluster.on("tor", "birdc", "-s", "/run/buoy/bird.ctl", "show", "bfd", "sessions"),
               lambda seen: seen.count("Up") == 2, seconds=20)  # fmt: skip
    return found


def test_a_node_that_is_cut_off_is_no_next_hop_within_a_second_and_is_one_again(cluster: Cluster, address: str) -> None:
    with calls(cluster, address) as said:
        eventually(lambda: len(said) > 5)
        cluster.lab.node("fail", "node-1")
        # a second, twice for a busy machine
        cluster.announced(f"{address}/32", "node-2", seconds=2)
        reached = len(said)
        eventually(lambda: len(said) > reached + 100, seconds=20)
    late = said[reached + 60 :]
    assert ["ok"] * len(late) == late, "once the calls of before have timed out, every one is answered"
    eventually(lambda: ready(cluster, "node-1"), lambda seen: not seen, seconds=40)
    cluster.lab.node("recover", "node-1")
    cluster.announced(f"{address}/32", "node-1", "node-2", seconds=60)
    assert cluster.http(address).startswith("kept-")


def ready(cluster: Cluster, node: str) -> bool:
    """Tell whether Kubernetes takes a node for ready."""
    conditions = cluster.get("node", node)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def test_a_node_whose_kubelet_stops_is_left_and_taken_back(cluster: Cluster, address: str) -> None:
    # kube-controller-manager takes pods for not ready when their node stops being ready, so it must have been
    eventually(lambda: ready(cluster, "node-1"), seconds=20)
    with every_call_answered(cluster, address, joining=1):
        cluster.lab.service("stop", "node-1", "kubelet")
        cluster.announced(f"{address}/32", "node-2", seconds=30)
        cluster.lab.service("start", "node-1", "kubelet")
        cluster.announced(f"{address}/32", "node-1", "node-2", seconds=30)


def test_a_node_that_is_deleted_from_the_cluster_announces_nothing(cluster: Cluster, address: str) -> None:
    cluster.lab.service("stop", "node-1", "kubelet")
    cluster.kubectl("delete", "node", "node-1")
    cluster.announced(f"{address}/32", "node-2")
    [said] = [line["text"] for line in cluster.why(address, "node-1") if line["topic"] == "node"]
    assert "no node of the cluster" in said
    cluster.lab.service("start", "node-1", "kubelet")
    eventually(lambda: cluster.kubectl("get", "nodes", "-o", "name"), lambda seen: "node-1" in seen, seconds=20)
    eventually(lambda: cluster.get("node", "node-1")["spec"].get("podCIDR"))
    cluster.pod("kept-3", "node-1", {"app": "kept"})
    cluster.announced(f"{address}/32", "node-1", "node-2", seconds=30)
