# SPDX-License-Identifier: Apache-2.0
"""A port's fixed IPs are routes to its tap, announced to the router; the service IP is one more of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Iterator[dict[str, dict[str, Any]]]:
    yield {
        "red": cloud.boot("red", "compute-1", network="calico"),
        "blue": cloud.boot("blue", "compute-2", network="calico"),
        "green": cloud.boot("green", "compute-2", network="calico"),
    }


def test_fixed_ips_of_both_families_are_device_routes_announced_to_the_router(
    cloud: Cloud, guests: dict[str, dict[str, Any]]
) -> None:
    for address in guests["red"]["addresses"]:
        host, router = cloud.routes("compute-1"), cloud.routes("access")
        assert f"dev {guests['red']['interface']}" in host[address]
        via = "fd00:8::3" if ":" in address else "192.168.8.3"
        assert router[address].startswith(f"{address} via {via} dev eth0 proto bird")
        assert cloud.http("access", address) == "red"


def test_guests_on_two_nodes_reach_each_other(cloud: Cloud, guests: dict[str, dict[str, Any]]) -> None:
    for address in guests["blue"]["addresses"]:
        assert cloud.http("red", address) == "blue"


def test_a_service_ip_is_added_reached_moved_and_removed(cloud: Cloud, guests: dict[str, dict[str, Any]]) -> None:
    service = "10.65.0.23"
    _give(cloud, guests["red"], service)
    assert cloud.http("access", service) == "red"
    for taker, giver, node in (("blue", "red", "192.168.8.4"), ("green", "blue", "192.168.8.4")):
        _take(cloud, guests[giver], service)
        _give(cloud, guests[taker], service)
        eventually(lambda node=node: node in cloud.routes("access").get(service, ""))
        assert cloud.http("access", service) == taker
    _take(cloud, guests["green"], service)
    eventually(lambda: service not in cloud.routes("access") and service not in cloud.routes("compute-2"))


def _give(cloud: Cloud, guest: dict[str, Any], address: str) -> None:
    cloud.openstack("port", "set", "--fixed-ip", f"subnet=calico-v4,ip-address={address}", guest["port"])
    cloud.on(guest["name"], "ip", "address", "add", f"{address}/24", "dev", "eth0")
    eventually(lambda: address in cloud.routes("access"))


def _take(cloud: Cloud, guest: dict[str, Any], address: str) -> None:
    cloud.openstack("port", "unset", "--fixed-ip", f"subnet=calico-v4,ip-address={address}", guest["port"])
    cloud.on(guest["name"], "ip", "address", "delete", f"{address}/24", "dev", "eth0")
