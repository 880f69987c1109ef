# SPDX-License-Identifier: Apache-2.0
"""Floating IPs of pods, as the client beyond the router sees them: in, out, and from one node to the other."""

import json
from pathlib import Path

import pytest

import buoy.lab
from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, pool, service

WISH, PORTS = "buoy.dev/floating-ip", "buoy.dev/floating-ip-ports"
CALICO = "cni.projectcalico.org/floatingIPs"
CLIENT = "198.51.100.10"
AWAY = 9000
SERVER = Path(buoy.lab.__file__).with_name("pod_server.py")
CNI = """
table ip cni {
  chain postrouting {
    type nat hook postrouting priority 100;
    ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
  }
}
"""


@pytest.fixture(scope="module", autouse=True)
def pools(cluster: Cluster) -> None:
    """Pools, a server on the client that says who asks, and nodes whose network plugin masquerades."""
    cluster.apply(
        pool("gold", "198.18.7.0/28", automatic=False),
        pool("team", "198.18.8.0/29", automatic=False, namespaces=["team-a"]),
    )
    cluster.kubectl("create", "namespace", "team-a")
    serve = f"nohup python3 -I -S {SERVER} away client {AWAY} > /dev/null 2>&1 & sleep 0.3"
    cluster.on("client", "sh", "-c", serve)
    for node in ("node-1", "node-2"):
        cluster.lab.exec(node, "nft", "-f", "-", text=CNI)


def run(cluster: Cluster, name: str, node: str = "node-1", namespace: str = "default", **annotations: str) -> None:
    said = {WISH if key == "wish" else CALICO if key == "calico" else PORTS: text for key, text in annotations.items()}
    cluster.pod(name, node, {"app": name}, namespace=namespace, annotations=said)


def claims(cluster: Cluster, workload: str) -> list[str]:
    """Return the floating IPs that lead to a pod."""
    found = cluster.get("serviceips")["items"]
    return [
        each["spec"]["address"]
        for each in found
        if any(end["workload"] == workload for end in each["spec"].get("endpoints", []))
    ]


def given(cluster: Cluster, name: str, namespace: str = "default") -> str:
    [address] = eventually(lambda: claims(cluster, f"{namespace}/{name}"))
    return address


def refused(cluster: Cluster, name: str, namespace: str = "default") -> str:
    """Return what a pod is told in its Events."""

    def said() -> str:
        found = cluster.get("events.events.k8s.io", "-n", namespace)["items"]
        notes = [each["note"] for each in found if each["regarding"]["name"] == name and each["type"] == "Warning"]
        return notes[-1] if notes else ""

    return eventually(said)


def asks(cluster: Cluster, name: str, url: str) -> str:
    """Return what a pod is answered: who answers, and whom they see."""
    return cluster.on(f"default/{name}", "curl", "-s", "-m", "2", url, check=False).strip()


def test_a_pod_that_asks_for_it_is_reached_and_leaves_under_its_floating_ip(cluster: Cluster) -> None:
    run(cluster, "db-0", wish="gold")
    address = given(cluster, "db-0")
    cluster.announced(f"{address}/32", "node-1")
    eventually(lambda: cluster.http(address, 8080), lambda seen: seen == f"db-0 {CLIENT}")
    assert f"away {address}" == asks(cluster, "db-0", f"http://{CLIENT}:{AWAY}/"), "before who masquerades"
    assert {True} == {line["ok"] for line in cluster.why(address, "node-1")}


def test_inside_the_cluster_it_asks_under_its_own_address(cluster: Cluster) -> None:
    run(cluster, "web", "node-2")
    own = cluster.get("pod", "db-0")["status"]["podIP"]
    inside = service("web")
    inside["spec"]["type"] = "ClusterIP"
    cluster.apply(inside)
    front = cluster.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: asks(cluster, "db-0", f"http://{front}/"), lambda seen: seen == f"web {own}")
    target = cluster.get("pod", "web")["status"]["podIP"]
    assert f"web {own}" == asks(cluster, "db-0", f"http://{target}:8080/")


def test_others_and_itself_reach_it_by_its_floating_ip(cluster: Cluster) -> None:
    address = given(cluster, "db-0")
    url = f"http://{address}:8080/"
    assert "db-0" == asks(cluster, "web", url).split()[0]
    assert f"db-0 {address}" == asks(cluster, "db-0", url)
    assert ["db-0", "db-0"] == [cluster.http(address, 8080, node).split()[0] for node in ("node-1", "node-2")]


def test_deleted_and_run_on_the_other_node_it_keeps_its_address_and_old_flows_end(cluster: Cluster) -> None:
    address = given(cluster, "db-0")
    cluster.end("db-0")
    eventually(lambda: cluster.hops(f"{address}/32"), lambda seen: seen == set())
    assert "" == cluster.on("node-1", "conntrack", "-L", "-d", address, check=False).strip()
    run(cluster, "db-0", "node-2", wish="gold")
    assert address == given(cluster, "db-0")
    cluster.announced(f"{address}/32", "node-2")
    eventually(lambda: cluster.http(address, 8080), lambda seen: seen == f"db-0 {CLIENT}")
    assert f"away {address}" == asks(cluster, "db-0", f"http://{CLIENT}:{AWAY}/")
    assert address not in cluster.on("node-1", "nft", "list", "table", "inet", "buoy")


def test_a_pod_whose_interface_is_down_attracts_nothing_until_it_is_up_and_why_says_so(cluster: Cluster) -> None:
    run(cluster, "cut", wish="gold")
    address = given(cluster, "cut")
    cluster.announced(f"{address}/32", "node-1")
    pod = cluster.get("pod", "cut")["status"]["podIP"]
    [shown] = json.loads(cluster.on("node-1", "ip", "-j", "route", "get", pod))
    cluster.on("node-1", "ip", "link", "set", shown["dev"], "down")
    cluster.announced(f"{address}/32")
    said = cluster.on("controller", "buoy", "why", address, check=False)
    assert f"node-1 has no route to default/cut at {pod}" in said
    assert "no-route on node-1" in cluster.on("controller", "buoy", "status", check=False)
    cluster.on("node-1", "ip", "link", "set", shown["dev"], "up")
    cluster.on("node-1", "ip", "route", "replace", pod, "dev", shown["dev"])
    cluster.announced(f"{address}/32", "node-1")
    eventually(lambda: cluster.http(address, 8080), f"cut {CLIENT}".__eq__)
    cluster.end("cut", wait=False)


def test_calicos_annotation_is_read(cluster: Cluster) -> None:
    run(cluster, "calico", calico='["198.18.7.9"]')
    assert "198.18.7.9" == given(cluster, "calico")
    eventually(lambda: cluster.http("198.18.7.9", 8080), lambda seen: seen == f"calico {CLIENT}")


def test_only_mapped_ports_lead_to_it_and_nothing_loops(cluster: Cluster) -> None:
    run(cluster, "mapped", wish="gold", ports="tcp/80:8080")
    address = given(cluster, "mapped")
    eventually(lambda: cluster.http(address), lambda seen: seen == f"mapped {CLIENT}")
    assert "" == cluster.http(address, 8080)
    seen = asks(cluster, "mapped", f"http://{CLIENT}:{AWAY}/")
    assert "away 192.168." == seen[:13], "mapped ports are for who comes in; it leaves as its network plugin has it"


def test_an_address_of_another_namespaces_pool_is_refused_and_nobody_takes_anothers(cluster: Cluster) -> None:
    run(cluster, "thief", calico='["198.18.8.1"]')
    assert "team" in refused(cluster, "thief")
    run(cluster, "second", wish="198.18.7.9")
    assert "Pod default/calico" in refused(cluster, "second")
    assert [[], []] == [claims(cluster, f"default/{name}") for name in ("thief", "second")]
    run(cluster, "rightful", namespace="team-a", calico='["198.18.8.1"]')
    assert "198.18.8.1" == given(cluster, "rightful", "team-a")


def test_by_hand_a_pod_is_given_an_address_which_it_keeps_until_a_hand_takes_it(cluster: Cluster) -> None:
    run(cluster, "hand")
    said = cluster.on("controller", "buoy", "service-ip", "associate", "--pool", "gold", "--pod", "default/hand")
    address = said.split()[1]
    assert address == given(cluster, "hand")
    eventually(lambda: cluster.http(address, 8080), lambda seen: seen == f"hand {CLIENT}")
    cluster.end("hand")
    eventually(lambda: cluster.hops(f"{address}/32"), lambda seen: seen == set())
    [why] = [line for line in cluster.why(address, "node-2") if not line["ok"]]
    assert "owner-away" == why["reason"]
    run(cluster, "hand", "node-2")
    cluster.announced(f"{address}/32", "node-2")
    cluster.on("controller", "buoy", "service-ip", "release", address)
    eventually(lambda: cluster.hops(f"{address}/32"), lambda seen: seen == set())
    spec = json.loads(cluster.kubectl("get", "serviceip", address, "-o", "json"))["spec"]
    assert ("hand", True) == (spec["owners"][0]["name"], "released" in spec)


def test_by_an_object_a_pod_is_given_an_address(cluster: Cluster) -> None:
    run(cluster, "object")
    owners = [{"kind": "Pod", "namespace": "default", "name": "object"}]
    spec = {"address": "198.18.7.12", "mode": "translated", "owners": owners}
    cluster.apply({"apiVersion": "buoy.dev/v1", "kind": "ServiceIP", "metadata": {"name": "198.18.7.12"}, "spec": spec})
    eventually(lambda: cluster.http("198.18.7.12", 8080), lambda seen: seen == f"object {CLIENT}")
    assert "gold" == cluster.get("serviceip", "198.18.7.12")["spec"]["pool"]
    cluster.kubectl("delete", "serviceip", "198.18.7.12")
    eventually(lambda: cluster.hops("198.18.7.12/32"), lambda seen: seen == set())


def test_with_the_controller_away_a_pod_that_is_gone_attracts_nothing_and_is_led_to_anew_after(
    cluster: Cluster,
) -> None:
    run(cluster, "alone", wish="gold")
    address = given(cluster, "alone")
    cluster.announced(f"{address}/32", "node-1")
    cluster.lab.service("kill", "controller", "buoy")
    cluster.end("alone")
    eventually(lambda: cluster.hops(f"{address}/32"), lambda seen: seen == set())
    run(cluster, "alone", "node-2", wish="gold")
    assert ["default/alone"] == [end["workload"] for end in cluster.get("serviceip", address)["spec"]["endpoints"]]
    cluster.lab.service("start", "controller", "buoy")
    cluster.announced(f"{address}/32", "node-2", seconds=30)
    eventually(lambda: cluster.http(address, 8080), lambda seen: seen == f"alone {CLIENT}")
