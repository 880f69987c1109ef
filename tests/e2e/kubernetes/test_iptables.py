# SPDX-License-Identifier: Apache-2.0
"""The same promises where kube-proxy works by iptables."""

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster

# pytest finds here what it is to run once more
from tests.e2e.kubernetes.test_announcing import shop
from tests.e2e.kubernetes.test_announcing import (
    test_a_service_without_ready_endpoints_is_announced_by_nobody_and_why_says_so as test_without_endpoints,
)
from tests.e2e.kubernetes.test_announcing import (
    test_the_last_endpoint_keeps_the_route_while_it_terminates as test_last_endpoint,
)
from tests.e2e.kubernetes.test_announcing import (
    test_with_policy_local_every_node_with_a_ready_endpoint_is_a_next_hop as test_policy_local,
)
from tests.e2e.kubernetes.test_announcing import (
    test_with_policy_local_the_client_is_seen_by_the_pod as test_client_source,
)

PROXY = "iptables"

__all__ = ["shop", "test_client_source", "test_last_endpoint", "test_policy_local", "test_without_endpoints"]


def test_an_address_is_withdrawn_with_its_rules_and_announced_with_them(cluster: Cluster, shop: str) -> None:
    eventually(lambda: [line["text"] for line in cluster.why(shop, "node-1") if line["topic"] == "proxy"],
               lambda seen: seen == ["iptables: forwards tcp 80"])  # fmt: skip
    cluster.lab.service("stop", "node-1", "kube-proxy")
    assert "shop-1 198.51.100.10" == cluster.http(shop), "its rules are still there"
    cluster.on("node-1", "iptables", "-t", "nat", "-F", "KUBE-SERVICES")
    cluster.announced(f"{shop}/32")
    reasons = [line.get("reason") for line in cluster.why(shop, "node-1")]
    assert {"no-service-proxy", "not-proxied-yet", "service-proxy-stuck"} & set(reasons)
    cluster.lab.service("start", "node-1", "kube-proxy")
    cluster.announced(f"{shop}/32", "node-1", seconds=20)
    assert "shop-1 198.51.100.10" == cluster.http(shop)
