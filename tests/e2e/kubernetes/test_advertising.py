# SPDX-License-Identifier: Apache-2.0
"""Calico's BGPConfiguration, BGPPeer and BGPFilter, as its documents use them: what each makes the ToR hear."""

import json
import re
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import BGP, Cluster, RefusedError, service

BOTH = ("node-1", "node-2")
EXACT = "projectcalico.org/AdvertiseClusterIP"


def patch(cluster: Cluster, **spec: Any) -> str:  # noqa: ANN401  whatever a field takes
    """Patch the default BGPConfiguration."""
    body = json.dumps({"spec": spec})
    return cluster.kubectl("patch", "bgpconfiguration.projectcalico.org", "default", "--type", "merge", "-p", body)


def cidrs(*prefixes: str) -> list[dict[str, str]]:
    return [{"cidr": prefix} for prefix in prefixes]


def cluster_ip(cluster: Cluster, name: str) -> str:
    return str(cluster.get("service", name)["spec"]["clusterIP"])


@pytest.fixture(scope="module", autouse=True)
def pods(cluster: Cluster) -> None:
    for number, node in enumerate(BOTH, 1):
        cluster.pod(f"web-{number}", node, {"app": "web"})


@pytest.fixture(autouse=True)
def plain(cluster: Cluster) -> None:
    patch(cluster, serviceClusterIPs=None, serviceExternalIPs=None, serviceLoadBalancerIPs=None,
          serviceLoadBalancerAggregation=None, prefixAdvertisements=None, communities=None)  # fmt: skip


def test_cluster_ip_ranges_of_both_families_come_from_every_node_and_answer(cluster: Cluster) -> None:
    cluster.apply(service("web", type="ClusterIP"))
    patch(cluster, serviceClusterIPs=cidrs("10.96.0.0/16", "fd00:10:96::/112"))
    cluster.announced("10.96.0.0/16", *BOTH)
    cluster.announced("fd00:10:96::/112", *BOTH)
    assert cluster.http(cluster_ip(cluster, "web")).startswith("web-")
    patch(cluster, serviceClusterIPs=[])
    cluster.announced("10.96.0.0/16")


def test_a_packet_to_an_unused_address_of_a_range_does_not_go_round(cluster: Cluster) -> None:
    patch(cluster, serviceExternalIPs=cidrs("192.0.2.0/24"))
    cluster.announced("192.0.2.0/24", *BOTH)
    counting = "chain through { type filter hook forward priority 0; ip daddr 192.0.2.200 counter; }"
    cluster.on("tor", "nft", f"table ip counted {{ {counting}; }}")
    cluster.on("client", "ping", "-c", "3", "-i", "0.2", "-W", "1", "192.0.2.200", check=False)
    seen = cluster.on("tor", "nft", "list", "table", "ip", "counted")
    cluster.on("tor", "nft", "delete", "table", "ip", "counted")
    assert "counter packets 3 " in seen, "a request that goes round comes by the ToR some thirty times"


def test_an_exact_route_of_a_cluster_ip_is_announced_where_it_is_asked_for_and_only_there(cluster: Cluster) -> None:
    cluster.apply(service("web", type="ClusterIP"))
    address = cluster_ip(cluster, "web")
    patch(cluster, serviceClusterIPs=cidrs("10.96.0.0/16"))
    cluster.announced("10.96.0.0/16", *BOTH)
    assert set() == cluster.hops(f"{address}/32")
    cluster.kubectl("annotate", "service", "web", f"{EXACT}=true")
    cluster.announced(f"{address}/32", *BOTH)
    cluster.kubectl("annotate", "service", "web", f"{EXACT}-")
    cluster.announced(f"{address}/32")


def test_a_cluster_ip_of_a_local_service_has_an_exact_route_from_the_nodes_with_a_pod(cluster: Cluster) -> None:
    patch(cluster, serviceClusterIPs=cidrs("10.96.0.0/16"))
    cluster.apply(service("local", type="NodePort", externalTrafficPolicy="Local"))
    cluster.pod("local-1", "node-2", {"app": "local"})
    cluster.announced(f"{cluster_ip(cluster, 'local')}/32", "node-2")


def test_external_ips_are_announced_by_range_or_one_by_one(cluster: Cluster) -> None:
    cluster.apply(service("web", type="ClusterIP", externalIPs=["192.0.2.80", "198.18.5.5", "198.18.77.7"]))
    patch(cluster, serviceExternalIPs=cidrs("192.0.2.0/24", "198.18.5.5/32"))
    cluster.announced("192.0.2.0/24", *BOTH)
    cluster.announced("198.18.5.5/32", *BOTH)
    assert set() == cluster.hops("198.18.77.7/32"), "in no range"
    assert cluster.http("192.0.2.80").startswith("web-")
    assert cluster.http("198.18.5.5").startswith("web-")
    reasons = [line.get("reason") for line in cluster.why("198.18.77.7", "node-1")]
    assert "not-advertised" in reasons


def test_load_balancer_ranges_as_a_whole_or_with_aggregation_off_address_by_address(cluster: Cluster) -> None:
    cluster.apply(service("wide"))
    cluster.pod("wide-1", "node-1", {"app": "wide"})
    [address] = eventually(lambda: cluster.external("wide"))
    patch(cluster, serviceLoadBalancerIPs=cidrs("203.0.113.0/26"))
    cluster.announced("203.0.113.0/26", *BOTH)
    cluster.announced(f"{address}/32")
    assert "wide-1" == cluster.http(address).split()[0]
    patch(cluster, serviceLoadBalancerAggregation="Disabled")
    cluster.announced(f"{address}/32", *BOTH)
    cluster.announced("203.0.113.0/26")


def test_the_environment_of_an_agent_takes_precedence_over_cluster_ip_ranges(cluster: Cluster) -> None:
    patch(cluster, serviceClusterIPs=cidrs("10.96.0.0/16"))
    cluster.announced("10.96.0.0/16", *BOTH)
    cluster.on("node-1", "sh", "-c", "echo CALICO_ADVERTISE_CLUSTER_IPS=10.96.128.0/17 > /etc/buoy/agent.env")
    for action in ("stop", "start"):
        cluster.lab.service(action, "node-1", "agent")
    cluster.announced("10.96.128.0/17", "node-1")
    cluster.announced("10.96.0.0/16", "node-2")
    cluster.on("node-1", "sh", "-c", "> /etc/buoy/agent.env")
    for action in ("stop", "start"):
        cluster.lab.service(action, "node-1", "agent")
    cluster.announced("10.96.0.0/16", *BOTH)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"serviceClusterIPs": cidrs("10.0.0.0/33")}, "serviceClusterIPs[0].cidr"),
        ({"serviceExternalIPs": cidrs("x.x.x.x")}, "serviceExternalIPs[0].cidr"),
        ({"asNumber": 0}, "asNumber"),
        ({"serviceLoadBalancerAggregation": "Sometimes"}, "serviceLoadBalancerAggregation"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(cluster: Cluster, spec: dict[str, Any], named: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(named)):
        patch(cluster, **spec)


def test_announcements_inside_a_prefix_carry_their_communities(cluster: Cluster) -> None:
    cluster.apply(service("tagged"))
    cluster.pod("tagged-1", "node-1", {"app": "tagged"})
    [address] = eventually(lambda: cluster.external("tagged"))
    patch(cluster, serviceExternalIPs=cidrs("192.0.2.0/24"))
    cluster.announced(f"{address}/32", *BOTH)
    cluster.announced("192.0.2.0/24", *BOTH)
    assert set() == communities(cluster, f"{address}/32")
    patch(
        cluster,
        communities=[{"name": "blue", "value": "64512:100"}],
        prefixAdvertisements=[
            {"cidr": "203.0.113.0/24", "communities": ["blue", "64512:1:2"]},
            {"cidr": "192.0.2.0/24", "communities": ["64512:300"]},
        ],
    )
    expected = {"(64512,100)", "(64512, 1, 2)"}
    eventually(lambda: communities(cluster, f"{address}/32"), lambda seen: seen == expected)
    eventually(lambda: communities(cluster, "192.0.2.0/24"), lambda seen: seen == {"(64512,300)"})
    patch(cluster, communities=None, prefixAdvertisements=None)
    eventually(lambda: communities(cluster, f"{address}/32"), lambda seen: not seen)


def communities(cluster: Cluster, prefix: str) -> set[str]:
    """Return the communities with which the ToR heard of a prefix, plain and large ones."""
    told = cluster.on("tor", "birdc", "-s", "/run/buoy/bird.ctl", "show", "route", "for", prefix, "all")
    lines = [line for line in told.splitlines() if re.match(r"\s*BGP\.(large_)?community:", line)]
    return {each for line in lines for each in re.findall(r"\([0-9, ]+\)", line)}


def test_a_field_that_is_not_honoured_is_named(cluster: Cluster) -> None:
    patch(cluster, serviceClusterIPs=cidrs("10.96.0.0/16"), ignoredInterfaces=["dummy0"])
    message = eventually(lambda: in_force(cluster, "message"))
    assert "ignoredInterfaces" in message
    patch(cluster, ignoredInterfaces=None)
    eventually(lambda: in_force(cluster, "status"), lambda seen: seen == "True")


def test_settings_of_buoys_own_say_that_they_are_in_force(cluster: Cluster) -> None:
    cluster.apply({"apiVersion": "buoy.dev/v1", "kind": "BGPSettings", "metadata": {"name": "default"}, "spec": {}})
    eventually(lambda: in_force(cluster, "status", "bgpsettings.buoy.dev"), lambda seen: seen == "True")
    cluster.kubectl("delete", "bgpsettings.buoy.dev", "default")


def test_a_peer_of_buoys_own_says_what_is_wrong_until_that_is_mended(cluster: Cluster) -> None:
    own = {"apiVersion": "buoy.dev/v1", "metadata": {"name": "lone"}}
    # a peer of no node that is there, so that no session changes
    spec = {"address": "192.0.2.99", "asn": 64999, "nodes": ["elsewhere"], "exportFilter": "lone"}
    cluster.apply({**own, "kind": "Peer", "spec": spec})
    message = eventually(lambda: in_force(cluster, "message", "peers.buoy.dev", "lone"))
    assert "spec.exportFilter: 'lone'" in message
    assert "buoy filter add lone" in message
    assert re.search(r"lone +192\.0\.2\.99 +64999 +\S+ +False", cluster.kubectl("get", "peers.buoy.dev"))
    status = json.loads(cluster.lab.exec("node-1", "buoy", "status", "-o", "json", check=False).stdout)
    [told] = [line for line in status if line["what"] == "peer lone"]
    assert (False, message) == (told["ok"], told["note"])
    cluster.apply({**own, "kind": "Filter", "spec": {"rules": []}})
    for kind in ("peers.buoy.dev", "filters.buoy.dev"):
        eventually(partial(in_force, cluster, "status", kind, "lone"), lambda seen: seen == "True")
        cluster.kubectl("delete", kind, "lone")


def in_force(cluster: Cluster, field: str, kind: str = BGP, name: str = "default") -> str:
    """Return what the condition of the default BGPConfiguration, or of another object, says."""
    conditions = cluster.get(kind, name).get("status", {}).get("conditions", [])
    return next((str(one.get(field, "")) for one in conditions), "")


def test_a_filter_of_a_peer_keeps_what_it_rejects_from_it(cluster: Cluster) -> None:
    cluster.apply(service("filtered"))
    cluster.pod("filtered-1", "node-1", {"app": "filtered"})
    [address] = eventually(lambda: cluster.external("filtered"))
    cluster.announced(f"{address}/32", *BOTH)
    rule = {"action": "Reject", "matchOperator": "In", "cidr": f"{address}/32"}
    cluster.apply(
        {"apiVersion": "projectcalico.org/v3", "kind": "BGPFilter", "metadata": {"name": "no-filtered"},
         "spec": {"exportV4": [rule]}}
    )  # fmt: skip
    cluster.kubectl("patch", "bgppeer", "tor", "--type", "merge", "-p", '{"spec": {"filters": ["no-filtered"]}}')
    cluster.announced(f"{address}/32")
    assert "filtered-by-export" in [line.get("reason") for line in cluster.why(address, "node-1")]
    cluster.kubectl("delete", "bgpfilter", "no-filtered")
    eventually(lambda: "and there is no such filter" in str(cluster.why(address, "node-1")))
    cluster.announced(f"{address}/32")
    cluster.kubectl("patch", "bgppeer", "tor", "--type", "merge", "-p", '{"spec": {"filters": null}}')
    cluster.announced(f"{address}/32", *BOTH)
