# SPDX-License-Identifier: Apache-2.0
"""Which nodes announce a Service's addresses, and when: seen in the ToR's kernel and by a client behind it."""

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, service

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> str:
    """The address of a Service with traffic policy Local, and one pod of it on node-1."""
    cluster.apply(service("shop", externalTrafficPolicy="Local"))
    cluster.pod("shop-1", "node-1", {"app": "shop"})
    [address] = eventually(lambda: cluster.external("shop"))
    cluster.announced(f"{address}/32", "node-1")
    return address


def test_with_policy_local_the_client_is_seen_by_the_pod(cluster: Cluster, shop: str) -> None:
    assert "shop-1 198.51.100.10" == cluster.http(shop)


def test_with_policy_local_every_node_with_a_ready_endpoint_is_a_next_hop(cluster: Cluster, shop: str) -> None:
    cluster.pod("shop-2", "node-2", {"app": "shop"})
    cluster.announced(f"{shop}/32", "node-1", "node-2")
    cluster.ready("shop-1", is_ready=False)
    cluster.announced(f"{shop}/32", "node-2")
    assert "shop-2 198.51.100.10" == cluster.http(shop)
    cluster.ready("shop-1", is_ready=True)
    cluster.announced(f"{shop}/32", "node-1", "node-2")
    cluster.end("shop-2")
    cluster.announced(f"{shop}/32", "node-1")


def test_the_last_endpoint_keeps_the_route_while_it_terminates(cluster: Cluster) -> None:
    cluster.apply(service("last", externalTrafficPolicy="Local"))
    cluster.pod("last-1", "node-1", {"app": "last"}, terminates_for=4.0)
    [address] = eventually(lambda: cluster.external("last"))
    cluster.announced(f"{address}/32", "node-1")
    cluster.end("last-1", wait=False)
    eventually(lambda: conditions(cluster, "last"), lambda seen: seen["terminating"] and seen["serving"])
    assert "last-1 198.51.100.10" == cluster.http(address)
    assert {"node-1"} == cluster.hops(f"{address}/32")
    cluster.announced(f"{address}/32")


def conditions(cluster: Cluster, name: str) -> dict[str, bool]:
    """Return the conditions of a Service's only endpoint."""
    [slice_] = cluster.get("endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
    return dict(slice_["endpoints"][0]["conditions"])


def test_with_policy_cluster_every_node_announces_an_address_of_a_pool(cluster: Cluster) -> None:
    cluster.apply(service("wide"))
    cluster.pod("wide-1", "node-2", {"app": "wide"})
    [address] = eventually(lambda: cluster.external("wide"))
    cluster.announced(f"{address}/32", "node-1", "node-2")
    assert "wide-1" == cluster.http(address).split()[0]


def test_an_excluded_node_announces_nothing_unless_the_label_says_false(cluster: Cluster) -> None:
    [address] = cluster.external("wide")
    cluster.kubectl("label", "node", "node-1", f"{EXCLUDE}=true")
    cluster.announced(f"{address}/32", "node-2")
    [said] = [line["text"] for line in cluster.why(address, "node-1") if line["topic"] == "node"]
    assert EXCLUDE in said
    cluster.kubectl("label", "--overwrite", "node", "node-1", f"{EXCLUDE}=false")
    cluster.announced(f"{address}/32", "node-1", "node-2")
    cluster.kubectl("label", "node", "node-1", f"{EXCLUDE}-")


def test_a_node_that_is_to_be_deleted_by_the_autoscaler_announces_nothing(cluster: Cluster) -> None:
    [address] = cluster.external("wide")
    cluster.kubectl("taint", "node", "node-2", "ToBeDeletedByClusterAutoscaler=1:NoSchedule")
    cluster.announced(f"{address}/32", "node-1")
    cluster.kubectl("taint", "node", "node-2", "ToBeDeletedByClusterAutoscaler-")
    cluster.announced(f"{address}/32", "node-1", "node-2")


def test_a_service_without_ready_endpoints_is_announced_by_nobody_and_why_says_so(cluster: Cluster) -> None:
    cluster.apply(service("empty"))
    [address] = eventually(lambda: cluster.external("empty"))
    reasons = eventually(lambda: [line.get("reason") for line in cluster.why(address, "node-1")], any)
    assert "no-ready-endpoint" in reasons
    assert set() == cluster.hops(f"{address}/32")


def test_a_deleted_service_is_withdrawn_everywhere(cluster: Cluster) -> None:
    [address] = cluster.external("wide")
    cluster.kubectl("delete", "service", "wide")
    cluster.announced(f"{address}/32")
    eventually(lambda: cluster.on("node-1", "ip", "route", "show", "table", "2053"), lambda seen: address not in seen)


def test_an_address_is_not_announced_while_kube_proxy_is_away_and_withdrawn_with_its_tables(
    cluster: Cluster, shop: str
) -> None:
    cluster.lab.service("stop", "node-1", "kube-proxy")
    assert "shop-1 198.51.100.10" == cluster.http(shop), "its rules are still there"
    cluster.on("node-1", "nft", "delete", "table", "ip", "kube-proxy")
    cluster.announced(f"{shop}/32")
    reasons = [line.get("reason") for line in cluster.why(shop, "node-1")]
    assert {"no-service-proxy", "not-proxied-yet", "service-proxy-stuck"} & set(reasons)
    cluster.lab.service("start", "node-1", "kube-proxy")
    cluster.announced(f"{shop}/32", "node-1", seconds=20)
    assert "shop-1 198.51.100.10" == cluster.http(shop)
