# SPDX-License-Identifier: Apache-2.0
"""The addresses of a Service, and from where each is announced."""

from typing import Any

import pytest

from buoy.kubernetes.addresses import Front, fronts, ports
from buoy.model.address import Address
from buoy.model.proxied import Kind, ProxyPort
from tests.unit.kubernetes.making import service

CLUSTER_IP, ADDRESS = Address("10.96.0.10"), Address("192.0.2.7")
ASKED = {"projectcalico.org/AdvertiseClusterIP": "true"}


def test_a_load_balancer_has_its_cluster_ip_and_what_its_status_says() -> None:
    found = fronts(service(ingress=[{"ip": "192.0.2.7", "ipMode": "VIP"}, {"hostname": "web.example.com"}]))
    expected = (Front(CLUSTER_IP, Kind.CLUSTER, local=False), Front(ADDRESS, Kind.LOAD_BALANCER, local=False))
    assert expected == found.fronts


def test_an_address_that_the_load_balancer_itself_forwards_is_left_alone() -> None:
    found = fronts(service(ingress=[{"ip": "192.0.2.7", "ipMode": "Proxy"}]))
    assert (CLUSTER_IP,) == tuple(front.address for front in found.fronts)


def test_an_entry_without_a_mode_is_forwarded_by_kube_proxy() -> None:
    found = fronts(service(ingress=[{"ip": "192.0.2.7"}]))
    assert (CLUSTER_IP, ADDRESS) == tuple(front.address for front in found.fronts)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ExternalName", "clusterIPs": None},
        {"clusterIPs": ["None"], "externalIPs": ["192.0.2.7"]},
        {"clusterIPs": None, "externalIPs": ["192.0.2.7"]},
    ],
)
def test_what_has_no_cluster_ip_has_no_address_at_all(spec: dict[str, Any]) -> None:
    assert () == fronts(service(**spec)).fronts


def test_the_status_of_a_service_that_is_no_load_balancer_counts_for_nothing() -> None:
    found = fronts(service(type="NodePort", ingress=[{"ip": "192.0.2.7"}]))
    assert (CLUSTER_IP,) == tuple(front.address for front in found.fronts)


def test_a_class_of_another_load_balancer_is_left_alone() -> None:
    found = fronts(service(loadBalancerClass="example.com/other", ingress=[{"ip": "192.0.2.7"}]))
    assert (CLUSTER_IP,) == tuple(front.address for front in found.fronts)


def test_a_class_that_was_named_is_ours() -> None:
    made = service(loadBalancerClass="example.com/other", ingress=[{"ip": "192.0.2.7"}])
    assert ADDRESS in {front.address for front in fronts(made, ("example.com/other",)).fronts}


@pytest.mark.parametrize(
    ("policies", "annotations", "local", "host_route"),
    [
        (("ClusterIP", "", "Cluster"), None, False, False),
        (("ClusterIP", "", "Local"), None, False, False),
        (("ClusterIP", "", "Cluster"), ASKED, False, True),
        (("ClusterIP", "", "Local"), ASKED, True, True),
        (("ClusterIP", "Local", "Cluster"), ASKED, True, True),
        (("NodePort", "Cluster", "Cluster"), None, False, False),
        (("NodePort", "Local", "Cluster"), None, True, False),
        (("LoadBalancer", "Local", "Cluster"), None, True, False),
        (("LoadBalancer", "Cluster", "Local"), None, True, False),
    ],
)
def test_a_cluster_ip_has_a_route_of_its_own(
    policies: tuple[str, str, str], annotations: dict[str, str] | None, local: bool, host_route: bool
) -> None:
    kind, external, internal = policies
    made = service(type=kind, externalTrafficPolicy=external, internalTrafficPolicy=internal, annotations=annotations)
    assert (Front(CLUSTER_IP, Kind.CLUSTER, local, host_route),) == fronts(made).fronts


@pytest.mark.parametrize("value", ["True", "yes", "1", "", "false"])
def test_only_true_itself_asks_for_a_route(value: str) -> None:
    made = service(type="ClusterIP", annotations={"projectcalico.org/AdvertiseClusterIP": value})
    assert (False,) == tuple(front.host_route for front in fronts(made).fronts)


def test_internal_traffic_policy_says_nothing_of_addresses_from_outside() -> None:
    made = service(externalIPs=["192.0.2.7"], internalTrafficPolicy="Local", ingress=[{"ip": "192.0.2.8"}])
    assert [True, False, False] == [front.local for front in fronts(made).fronts]


def test_an_address_in_two_fields_counts_as_both() -> None:
    found = fronts(service(externalIPs=["192.0.2.7"], ingress=[{"ip": "192.0.2.7"}])).fronts
    assert [Kind.CLUSTER, Kind.EXTERNAL, Kind.LOAD_BALANCER] == [front.kind for front in found]


def test_addresses_are_canonical() -> None:
    found = fronts(service(clusterIPs=["2001:DB8:0::1"])).fronts
    assert (Address("2001:db8::1"),) == tuple(front.address for front in found)


def test_what_is_no_address_costs_the_service_nothing_else() -> None:
    found = fronts(service(externalIPs=["192.0.2.300", "192.0.2.7"]))
    assert (CLUSTER_IP, ADDRESS) == tuple(front.address for front in found.fronts)
    assert ("spec.externalIPs: '192.0.2.300' is not valid: give one IPv4 or IPv6 address, such as 192.0.2.7",) == (
        found.problems
    )


def test_an_object_from_before_there_could_be_two_cluster_ips_has_one() -> None:
    found = fronts(service(clusterIPs=None, clusterIP="10.96.0.10")).fronts
    assert (CLUSTER_IP,) == tuple(front.address for front in found)


def test_ports_are_in_order_and_each_once() -> None:
    made = service(ports=[{"port": 443}, {"port": 53, "protocol": "UDP"}, {"port": 443, "name": "again"}])
    assert (ProxyPort("tcp", 443), ProxyPort("udp", 53)) == ports(made, ()).served
