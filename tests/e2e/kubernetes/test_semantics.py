# SPDX-License-Identifier: Apache-2.0
"""Endpoints and Services of every shape: who announces them, while clients go on calling."""

import json
import time
from typing import Any

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import every_call_answered
from tests.e2e.kubernetes.cluster import BGP, Cluster, service
from tests.e2e.kubernetes.slices import endpoint, endpoints
from tests.e2e.watching import route_events

BOTH = ("node-1", "node-2")
HTTP = {"name": "http", "port": 80, "targetPort": 8080}


@pytest.fixture(scope="module", autouse=True)
def pods(cluster: Cluster) -> None:
    for number, node in enumerate(BOTH, 1):
        cluster.pod(f"web-{number}", node, {"app": "web"})


def change(cluster: Cluster, name: str, **spec: Any) -> None:  # noqa: ANN401  whatever a field takes
    """Change fields of a Service under whoever calls it."""
    cluster.kubectl("patch", "service", name, "--type", "merge", "-p", json.dumps({"spec": spec}))


def pod_ip(cluster: Cluster, name: str, family: int = 0) -> str:
    return str(cluster.get("pod", name)["status"]["podIPs"][family]["ip"])


def by_hand(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a Service without a selector."""
    made = service(name, externalTrafficPolicy="Local", **spec)
    del made["spec"]["selector"]
    return made


def given(cluster: Cluster, name: str) -> str:
    [address] = eventually(lambda: cluster.external(name))
    return address


def test_slices_made_by_hand_count_where_they_say_their_endpoints_are(cluster: Cluster) -> None:
    first, second = pod_ip(cluster, "web-1"), pod_ip(cluster, "web-2")
    cluster.apply(by_hand("hand"), endpoints("hand", "hand-a", endpoint(first, "node-1")))
    address = given(cluster, "hand")
    cluster.announced(f"{address}/32", "node-1")
    cluster.apply(endpoints("hand", "hand-b", endpoint(second, "node-2")))
    cluster.announced(f"{address}/32", *BOTH)
    cluster.apply(endpoints("hand", "hand-b", endpoint(second, "no-such-node")))
    cluster.announced(f"{address}/32", "node-1")
    cluster.apply(endpoints("hand", "hand-a", endpoint(first)))
    cluster.announced(f"{address}/32")
    reasons = [line.get("reason") for line in cluster.why(address, "node-1")]
    assert "no-local-endpoint" in reasons
    change(cluster, "hand", externalTrafficPolicy="Cluster")
    cluster.announced(f"{address}/32", *BOTH)


def test_an_endpoint_that_moves_between_slices_costs_no_call(cluster: Cluster) -> None:
    first = endpoint(pod_ip(cluster, "web-1"), "node-1")
    cluster.apply(by_hand("moved"), endpoints("moved", "moved-0", first))
    address = given(cluster, "moved")
    cluster.announced(f"{address}/32", "node-1")
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        for number in (1, 0, 1):
            cluster.apply(endpoints("moved", f"moved-{number}", first))
            cluster.kubectl("delete", "endpointslice", f"moved-{1 - number}")
    assert [] == events
    cluster.kubectl("delete", "endpointslice", "moved-1")
    cluster.announced(f"{address}/32")


def test_endpoints_that_are_not_ready_count_where_the_service_publishes_them(cluster: Cluster) -> None:
    cluster.pod("early-1", "node-2", {"app": "early"}, is_ready=False)
    cluster.apply(service("early", externalTrafficPolicy="Local"))
    address = given(cluster, "early")
    eventually(lambda: [line.get("reason") for line in cluster.why(address, "node-2")],
               lambda seen: "no-ready-endpoint" in seen)  # fmt: skip
    change(cluster, "early", publishNotReadyAddresses=True)
    cluster.announced(f"{address}/32", "node-2")
    assert "early-1" == cluster.http(address).split()[0]
    change(cluster, "early", publishNotReadyAddresses=False)
    cluster.announced(f"{address}/32")


def test_each_family_is_announced_where_its_own_endpoints_are(cluster: Cluster) -> None:
    cluster.apply(
        by_hand("dual", ipFamilyPolicy="RequireDualStack"),
        endpoints("dual", "dual-4", endpoint(pod_ip(cluster, "web-1"), "node-1")),
        endpoints("dual", "dual-6", endpoint(pod_ip(cluster, "web-2", 1), "node-2"), family="IPv6"),
    )
    four, six = eventually(lambda: cluster.external("dual"), lambda seen: len(seen) == 2)
    cluster.announced(f"{four}/32", "node-1")
    cluster.announced(f"{six}/128", "node-2")
    assert ["web-1", "web-2"] == [cluster.http(address).split()[0] for address in (four, six)]


def test_a_traffic_policy_that_flips_costs_no_call(cluster: Cluster) -> None:
    cluster.apply(service("flips", selector={"app": "web"}))
    address = given(cluster, "flips")
    with every_call_answered(cluster, address):
        for policy in ("Local", "Cluster", "Local", "Cluster"):
            change(cluster, "flips", externalTrafficPolicy=policy)
            time.sleep(1)


def test_ports_that_come_and_go_cost_no_call_and_no_route(cluster: Cluster) -> None:
    cluster.apply(service("ports", selector={"app": "web"}, externalTrafficPolicy="Local"))
    address = given(cluster, "ports")
    cluster.announced(f"{address}/32", *BOTH)
    more = {"name": "more", "port": 81, "targetPort": 8080}
    with every_call_answered(cluster, address), route_events(cluster, "tor", [address]) as events:
        for ports in ([HTTP, more], [HTTP], [more, HTTP], [HTTP], [HTTP, {**more, "targetPort": "no-such"}]):
            change(cluster, "ports", ports=ports)
            time.sleep(0.8)
    assert [] == events


def test_a_port_that_no_pod_has_keeps_the_others_from_nothing(cluster: Cluster) -> None:
    ports = [HTTP, {"name": "metrics", "port": 9090, "targetPort": "no-such"}]
    cluster.apply(service("partly", selector={"app": "web"}, ports=ports))
    address = given(cluster, "partly")
    cluster.announced(f"{address}/32", *BOTH)
    assert cluster.http(address).startswith("web-")
    [said] = [line["text"] for line in cluster.why(address, "node-1") if line["topic"] == "endpoints"]
    assert "none has tcp 9090" in said


def test_a_service_that_changes_its_type_gives_its_address_back_and_gets_it_again(cluster: Cluster) -> None:
    cluster.apply(service("turns", selector={"app": "web"}))
    address = given(cluster, "turns")
    for other in ("ClusterIP", "NodePort"):
        cluster.announced(f"{address}/32", *BOTH)
        change(cluster, "turns", type=other)
        cluster.announced(f"{address}/32")
        eventually(lambda: cluster.external("turns") == [])
        change(cluster, "turns", type="LoadBalancer")
        assert address == given(cluster, "turns")
    cluster.announced(f"{address}/32", *BOTH)


def test_what_kube_proxy_leaves_alone_is_announced_by_nobody(cluster: Cluster) -> None:
    headless = service("headless", type="ClusterIP", clusterIP="None", externalIPs=["192.0.2.44"])
    foreign = service("foreign", loadBalancerClass="acme.example/balancer", selector={"app": "web"})
    told = service("told", type="NodePort", selector={"app": "web"}, externalIPs=["192.0.2.46"])
    cluster.apply(headless, foreign, told)
    entries = [{"ip": "203.0.113.60", "ipMode": "Proxy"}, {"ip": "203.0.113.61"}]
    cluster.kubectl("patch", "service", "foreign", "--subresource", "status", "--type", "merge", "-p",
                    json.dumps({"status": {"loadBalancer": {"ingress": entries}}}))  # fmt: skip
    ranges = [{"cidr": f"192.0.2.{last}/32"} for last in (44, 46)]
    cluster.kubectl("patch", BGP, "default", "--type", "merge", "-p",
                    json.dumps({"spec": {"serviceExternalIPs": ranges}}))  # fmt: skip
    cluster.announced("192.0.2.46/32", *BOTH)
    for address in ("192.0.2.44", "203.0.113.60", "203.0.113.61"):
        assert set() == cluster.hops(f"{address}/32"), address
    assert ["203.0.113.60", "203.0.113.61"] == cluster.external("foreign")


def test_services_that_share_an_address_are_announced_where_all_are_served(cluster: Cluster) -> None:
    shared: dict[str, Any] = {"selector": {"app": "web"}, "externalTrafficPolicy": "Local"}
    first = service("shared-1", **shared)
    first["metadata"]["annotations"] = {"metallb.io/allow-shared-ip": "key"}
    cluster.apply(first)
    address = given(cluster, "shared-1")
    second = service("shared-2", port=81, loadBalancerIP=address, **shared)
    second["metadata"]["annotations"] = {"metallb.io/allow-shared-ip": "key"}
    cluster.apply(second)
    assert address == given(cluster, "shared-2")
    cluster.ready("web-1", is_ready=False)
    cluster.announced(f"{address}/32", "node-2")
    assert ["web-2", "web-2"] == [cluster.http(address, port).split()[0] for port in (80, 81)]
    cluster.ready("web-1", is_ready=True)
    cluster.announced(f"{address}/32", *BOTH)
    with every_call_answered(cluster, address, 81):
        cluster.kubectl("delete", "service", "shared-1")
