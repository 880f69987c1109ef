# SPDX-License-Identifier: Apache-2.0
"""A port's fixed IPs are routes to its tap, announced to the router: IPv4, SLAAC and DHCPv6."""

from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually

Guests = dict[str, dict[str, Any]]
PLACES = {
    "slaac": ("compute-1", 3, ("10.65.0.", "fd00:65::")),
    "stateful": ("compute-2", 4, ("10.66.0.", "fd00:66::")),
}


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Guests:
    cloud.openstack("network", "create", "managed")
    cloud.openstack("subnet", "create", "--network", "managed", "--subnet-range", "10.66.0.0/24", "managed-v4")
    mode = "dhcpv6-stateful"
    cloud.openstack(
        "subnet", "create", "--network", "managed", "--ip-version", "6", "--subnet-range", "fd00:66::/64",
        "--ipv6-address-mode", mode, "--ipv6-ra-mode", mode, "managed-v6",
    )  # fmt: skip
    return {
        "slaac": cloud.boot("slaac", "compute-1", network="calico"),
        "stateful": cloud.boot("stateful", "compute-2", network="managed"),
    }


@pytest.mark.parametrize("name", ["slaac", "stateful"])
def test_every_fixed_ip_is_a_device_route_on_its_node_and_announced_to_the_router(
    cloud: Cloud, guests: Guests, name: str
) -> None:
    node, number, prefixes = PLACES[name]
    host, router = cloud.routes(node), cloud.routes("access")
    for prefix, via in zip(prefixes, (f"192.168.8.{number}", f"fd00:8::{number}"), strict=True):
        [address] = [one for one in guests[name]["addresses"] if one.startswith(prefix)]
        assert f"dev {guests[name]['interface']}" in host[address]
        assert ("scope link" in host[address]) == ("." in address)  # ip shows no scope for IPv6
        assert router[address].startswith(f"{address} via {via} dev eth0 proto bird")


@pytest.mark.parametrize("name", ["slaac", "stateful"])
def test_the_guest_took_its_addresses_itself_and_answers_the_router_at_each(
    cloud: Cloud, guests: Guests, name: str
) -> None:
    assert [] == guests[name]["missing"]
    assert [name, name] == [cloud.http("access", address) for address in guests[name]["addresses"]]


def test_guests_of_two_networks_on_two_nodes_reach_each_other(cloud: Cloud, guests: Guests) -> None:
    for here, there in (("slaac", "stateful"), ("stateful", "slaac")):
        assert [there, there] == [cloud.http(here, address) for address in guests[there]["addresses"]]


def test_a_fixed_ip_of_each_family_is_added_and_taken_away(cloud: Cloud, guests: Guests) -> None:
    port = guests["stateful"]["port"]
    for subnet, address in (("managed-v4", "10.66.0.77"), ("managed-v6", "fd00:66::77")):
        assert set() == _seen_at(cloud, address)
        cloud.openstack("port", "set", "--fixed-ip", f"subnet={subnet},ip-address={address}", port)
        eventually(partial(_seen_at, cloud, address), {"access", "compute-1", "compute-2"}.__eq__)
        cloud.openstack("port", "unset", "--fixed-ip", f"subnet={subnet},ip-address={address}", port)
        eventually(partial(_seen_at, cloud, address), set().__eq__, seconds=4)


def _seen_at(cloud: Cloud, address: str) -> set[str]:
    return {machine for machine in ("access", "compute-1", "compute-2") if address in cloud.routes(machine)}
