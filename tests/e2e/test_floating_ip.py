# SPDX-License-Identifier: Apache-2.0
"""Floating IPs under plain ML2: associated, moved, taken away, and what each side of a connection sees.

Router and external network are those of the documents; the router of the lab is a
destination outside the tenant networks. Each test gives back the addresses it took.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.talking import PORT, ask, talk
from tests.e2e.traces import traces

Guests = dict[str, dict[str, Any]]
OUTSIDE = "192.168.8.1"
HOSTS = {"red": "compute-1", "green": "compute-1", "blue": "compute-2"}
VIA = {"compute-1": "192.168.8.3", "compute-2": "192.168.8.4"}


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Iterator[Guests]:
    made = {name: cloud.boot(name, host, network="calico") for name, host in HOSTS.items()}
    with (
        talk(cloud, "red", "answer", str(PORT)),
        talk(cloud, "green", "answer", str(PORT)),
        talk(cloud, "blue", "answer", str(PORT)),
        talk(cloud, "access", "answer", str(PORT)),
    ):
        yield made


@pytest.fixture
def floating(cloud: Cloud, guests: Guests) -> Iterator[list[str]]:
    """Two floating IPs that lead nowhere yet."""
    addresses = [cloud.get("floating", "ip", "create", "public")["floating_ip_address"] for _ in range(2)]
    yield addresses
    cloud.openstack("floating", "ip", "delete", *addresses)
    for address in addresses:
        eventually(partial(traces, cloud, address, own=True), [].__eq__, seconds=4)


def test_it_is_created_associated_moved_between_ports_and_nodes_and_disassociated(
    cloud: Cloud, guests: Guests, floating: list[str]
) -> None:
    address = floating[0]
    assert "DOWN" == _status(cloud, address)
    assert f"{address} is bound to no workload" in _why(cloud, address)
    for name in ("red", "green", "blue"):
        _associate(cloud, guests[name], address)
        _expect_at(cloud, guests[name], address)
    cloud.openstack("floating", "ip", "unset", "--port", address)
    eventually(partial(traces, cloud, address, own=True), [].__eq__, seconds=4)
    assert "DOWN" == _status(cloud, address)


def test_deleted_while_associated_it_leaves_nothing(cloud: Cloud, guests: Guests) -> None:
    address = cloud.get("floating", "ip", "create", "public", "--port", guests["blue"]["port"])["floating_ip_address"]
    _expect_at(cloud, guests["blue"], address)
    cloud.openstack("floating", "ip", "delete", address)
    eventually(partial(traces, cloud, address, own=True), [].__eq__, seconds=4)


def test_each_of_several_fixed_ips_has_its_own_both_ways(cloud: Cloud, guests: Guests, floating: list[str]) -> None:
    second, port = "10.65.0.77", guests["red"]["port"]
    cloud.openstack("port", "set", "--fixed-ip", f"subnet=calico-v4,ip-address={second}", port)
    cloud.on("red", "ip", "address", "add", f"{second}/24", "dev", "eth0")
    for address, fixed in zip(floating, (_fixed(guests["red"]), second), strict=True):
        cloud.openstack("floating", "ip", "set", "--port", port, "--fixed-ip-address", fixed, address)
        _until_active(cloud, address)
        assert f"red {OUTSIDE} {fixed}" == ask(cloud, "access", "tcp", address)
        assert f"access {address} {OUTSIDE}" == ask(cloud, "red", "tcp", OUTSIDE, PORT, fixed)
    cloud.openstack("port", "unset", "--fixed-ip", f"subnet=calico-v4,ip-address={second}", port)
    cloud.on("red", "ip", "address", "delete", f"{second}/24", "dev", "eth0")
    eventually(partial(traces, cloud, floating[1], own=True), [].__eq__, seconds=4)
    assert f"red {OUTSIDE} {_fixed(guests['red'])}" == ask(cloud, "access", "tcp", floating[0])


def test_by_default_the_guests_own_connections_leave_with_it_and_those_inside_keep_fixed_addresses(
    cloud: Cloud, guests: Guests, floating: list[str]
) -> None:
    red, blue = _fixed(guests["red"]), _fixed(guests["blue"])
    assert f"access {red} {OUTSIDE}" == ask(cloud, "red", "tcp", OUTSIDE)
    _associate(cloud, guests["red"], floating[0])
    for protocol in ("tcp", "udp"):
        assert f"access {floating[0]} {OUTSIDE}" == ask(cloud, "red", protocol, OUTSIDE)
        assert f"blue {red} {blue}" == ask(cloud, "red", protocol, blue)
        assert f"red {blue} {red}" == ask(cloud, "blue", protocol, red)
        assert f"access {blue} {OUTSIDE}" == ask(cloud, "blue", protocol, OUTSIDE)


@pytest.mark.parametrize("kind", ["floating ip", "subnet", "network"])
def test_a_tag_on_it_or_on_its_pool_gives_it_one_direction(
    cloud: Cloud, guests: Guests, floating: list[str], kind: str
) -> None:
    red, address = _fixed(guests["red"]), floating[0]
    name = {"floating ip": address, "subnet": "public-v4", "network": "public"}[kind]
    _associate(cloud, guests["red"], address)
    for direction, served, source in (("ingress", True, red), ("egress", False, address)):
        cloud.openstack(*kind.split(), "set", "--no-tag", "--tag", f"buoy:direction={direction}", name)
        eventually(partial(ask, cloud, "red", "tcp", OUTSIDE), f"access {source} {OUTSIDE}".__eq__)
        assert served == (f"red {OUTSIDE} {red}" == ask(cloud, "access", "tcp", address))
        _until_active(cloud, address)
    cloud.openstack(*kind.split(), "unset", "--all-tag", name)
    eventually(partial(ask, cloud, "access", "tcp", address), f"red {OUTSIDE} {red}".__eq__)


def test_what_is_said_of_it_itself_outweighs_what_is_said_of_its_pool(
    cloud: Cloud, guests: Guests, floating: list[str]
) -> None:
    cloud.openstack("subnet", "set", "--tag", "buoy:direction=ingress", "public-v4")
    cloud.openstack("floating", "ip", "set", "--tag", "buoy:direction=both", floating[0])
    _associate(cloud, guests["red"], floating[0])
    _associate(cloud, guests["green"], floating[1])
    assert f"access {floating[0]} {OUTSIDE}" == ask(cloud, "red", "tcp", OUTSIDE)
    assert f"access {_fixed(guests['green'])} {OUTSIDE}" == ask(cloud, "green", "tcp", OUTSIDE)
    cloud.openstack("subnet", "unset", "--all-tag", "public-v4")


def test_guests_reach_their_own_and_each_others_floating_ip_on_one_node_and_across_two(
    cloud: Cloud, guests: Guests, floating: list[str]
) -> None:
    of = {"red": floating[0], "blue": floating[1]}
    for name, address in of.items():
        _associate(cloud, guests[name], address)
    for client in ("red", "green", "blue"):
        for server, address in of.items():
            # a guest that has none keeps its fixed address
            seen = f"{server} {of.get(client, _fixed(guests[client]))} {_fixed(guests[server])}"
            assert [seen, seen] == [ask(cloud, client, protocol, address) for protocol in ("tcp", "udp")]
    _associate(cloud, guests["green"], of["blue"])
    seen = f"green {of['red']} {_fixed(guests['green'])}"
    assert [seen, seen] == [ask(cloud, "red", protocol, of["blue"]) for protocol in ("tcp", "udp")]


def test_for_an_unbound_port_it_is_down_and_why_says_so(cloud: Cloud, guests: Guests, floating: list[str]) -> None:
    port = cloud.get("port", "create", "--network", "calico", "lonely")["id"]
    cloud.openstack("floating", "ip", "set", "--port", port, floating[0])
    said = eventually(partial(_why, cloud, floating[0]), lambda text: port in text)
    assert f"{floating[0]} belongs to port {port}, which is on no node; start the VM that has the port" in said
    assert "DOWN" == _status(cloud, floating[0])
    assert [] == traces(cloud, floating[0])
    cloud.openstack("port", "delete", port)
    eventually(partial(_why, cloud, floating[0]), lambda text: "is bound to no workload" in text)


def _fixed(guest: dict[str, Any]) -> str:
    return next(str(address) for address in guest["addresses"] if "." in address)


def _associate(cloud: Cloud, guest: dict[str, Any], address: str) -> None:
    fixed = _fixed(guest)
    cloud.openstack("floating", "ip", "set", "--port", guest["port"], "--fixed-ip-address", fixed, address)
    _until_active(cloud, address)


def _until_active(cloud: Cloud, address: str) -> None:
    eventually(partial(_status, cloud, address), "ACTIVE".__eq__)


def _status(cloud: Cloud, address: str) -> str:
    return cloud.openstack("floating", "ip", "show", address, "-f", "value", "-c", "status")


def _why(cloud: Cloud, address: str) -> str:
    return cloud.buoy("why", address, check=False)


def _expect_at(cloud: Cloud, guest: dict[str, Any], address: str) -> None:
    """Everything the documents show of a floating IP."""
    node, fixed = guest["node"], _fixed(guest)
    _until_active(cloud, address)
    eventually(lambda: f"{address} via {VIA[node]} dev eth0 proto bird" in cloud.routes("access").get(address, ""))
    assert f"{address} dev {guest['interface']}" in cloud.routes(node)[address]
    assert "scope link" in cloud.routes(node)[address]
    assert f"{address} : {fixed}" in cloud.on(node, "nft", "list", "map", "inet", "buoy", "fip4")
    assert f"{guest['name']} {OUTSIDE} {fixed}" == ask(cloud, "access", "tcp", address)
    other = {"compute-1": "compute-2", "compute-2": "compute-1"}[node]
    eventually(lambda: f"{address} :" not in cloud.on(other, "nft", "list", "map", "inet", "buoy", "fip4"), seconds=4)
