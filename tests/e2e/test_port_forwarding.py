# SPDX-License-Identifier: Apache-2.0
"""Port forwarding: ports of one floating IP lead to several guests, on two nodes, by TCP and UDP, singly and in ranges.

One node has the floating IP; what it sends on to a guest elsewhere comes from the
floating IP itself, so that answers come back the same way.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.talking import ask, talk
from tests.e2e.traces import traces

Guests = dict[str, dict[str, Any]]
HOSTS = {"red": "compute-1", "green": "compute-1", "blue": "compute-2"}
OUTSIDE = "192.168.8.1"


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Iterator[Guests]:
    made = {name: cloud.boot(name, host, network="calico") for name, host in HOSTS.items()}
    with ExitStack() as talks:
        for name in HOSTS:
            for port in ("7000", "7001", "7002"):
                talks.enter_context(talk(cloud, name, "answer", port))
        yield made


@pytest.fixture
def address(cloud: Cloud, guests: Guests) -> Iterator[str]:
    made = str(cloud.get("floating", "ip", "create", "public")["floating_ip_address"])
    yield made
    # Neutron deletes no floating IP whose ports are forwarded
    left = [str(one["ID"]) for one in cloud.get("floating", "ip", "port", "forwarding", "list", made)]
    if left:
        cloud.openstack("floating", "ip", "port", "forwarding", "delete", made, *left)
    cloud.openstack("floating", "ip", "delete", made)
    eventually(partial(traces, cloud, made, own=True), [].__eq__, seconds=4)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_leads_to_a_port_of_a_guest_until_it_is_deleted(
    cloud: Cloud, guests: Guests, address: str, protocol: str
) -> None:
    forwarding = _forward(cloud, guests["red"], address, protocol, ("8000", "7000"))
    other = {"tcp": "udp", "udp": "tcp"}[protocol]
    eventually(partial(ask, cloud, "access", protocol, address, 8000), _seen(guests["red"], OUTSIDE).__eq__)
    assert _unanswered(cloud, protocol, address, 8001)
    assert _unanswered(cloud, other, address, 8000)
    assert "ACTIVE" == eventually(partial(_status, cloud, address), "ACTIVE".__eq__)
    cloud.openstack("floating", "ip", "port", "forwarding", "delete", address, forwarding)
    eventually(partial(traces, cloud, address, own=True), [].__eq__, seconds=4)
    assert "DOWN" == eventually(partial(_status, cloud, address), "DOWN".__eq__)


def test_ports_lead_to_guests_on_one_node_and_on_another(cloud: Cloud, guests: Guests, address: str) -> None:
    for name, port in (("red", "8000"), ("green", "8001"), ("blue", "8002")):
        for protocol in ("tcp", "udp"):
            _forward(cloud, guests[name], address, protocol, (port, "7000"))
    for protocol in ("tcp", "udp"):
        look = partial(ask, cloud, "access", protocol, address)
        eventually(partial(look, 8000), _seen(guests["red"], OUTSIDE).__eq__)
        eventually(partial(look, 8001), _seen(guests["green"], OUTSIDE).__eq__)
        eventually(partial(look, 8002), _seen(guests["blue"], address).__eq__)
    assert f"{address} via 192.168.8.3 dev eth0 proto bird" in cloud.routes("access")[address]
    assert "ACTIVE" == eventually(partial(_status, cloud, address), "ACTIVE".__eq__)


def test_guests_reach_forwarded_ports_too(cloud: Cloud, guests: Guests, address: str) -> None:
    _forward(cloud, guests["red"], address, "tcp", ("8000", "7000"))
    _forward(cloud, guests["blue"], address, "tcp", ("8002", "7000"))
    for client in HOSTS:
        for server, port in (("red", 8000), ("blue", 8002)):
            answered = eventually(
                partial(ask, cloud, client, "tcp", address, port), lambda said: len(said.split()) == 3
            )
            assert server == answered.split()[0]


def test_a_range_leads_to_a_range_and_another_to_one_port(cloud: Cloud, guests: Guests, address: str) -> None:
    _forward(cloud, guests["red"], address, "tcp", ("8000:8002", "7000:7002"))
    _forward(cloud, guests["blue"], address, "udp", ("9000:9002", "7001"))
    for offset in range(3):
        look = partial(ask, cloud, "access")
        eventually(partial(look, "tcp", address, 8000 + offset), _seen(guests["red"], OUTSIDE).__eq__)
        eventually(partial(look, "udp", address, 9000 + offset), _seen(guests["blue"], address).__eq__)
    assert _unanswered(cloud, "tcp", address, 8003)
    mapped = cloud.on("compute-1", "nft", "-n", "list", "map", "inet", "buoy", "mapped4")
    mapped += cloud.on("compute-2", "nft", "-n", "list", "map", "inet", "buoy", "mapped4")
    assert f"{address} . 6 . 8002 : {_fixed(guests['red'])} . 7002" in mapped


def _forward(cloud: Cloud, guest: dict[str, Any], address: str, protocol: str, ports: tuple[str, str]) -> str:
    outside, inside = ports
    made = cloud.get(
        "floating", "ip", "port", "forwarding", "create", "--internal-ip-address", _fixed(guest), "--port",
        guest["port"], "--internal-protocol-port", inside, "--external-protocol-port", outside, "--protocol", protocol,
        address,
    )  # fmt: skip
    return str(made["id"])


def _fixed(guest: dict[str, Any]) -> str:
    return next(str(address) for address in guest["addresses"] if "." in address)


def _seen(guest: dict[str, Any], client: str) -> str:
    return f"{guest['name']} {client} {_fixed(guest)}"


def _unanswered(cloud: Cloud, protocol: str, address: str, port: int) -> bool:
    return len(ask(cloud, "access", protocol, address, port).split()) != 3


def _status(cloud: Cloud, address: str) -> str:
    return cloud.openstack("floating", "ip", "show", address, "-f", "value", "-c", "status")
