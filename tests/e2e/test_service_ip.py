# SPDX-License-Identifier: Apache-2.0
"""A service IP as an additional fixed IP: given, moved between nodes and on one, taken away, with both clients.

The old guest keeps the address on its own interface all the time, so it would
answer every packet that still found its way there.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.talking import PORT, ask, sniff, talk
from tests.e2e.traces import traces

Guests = dict[str, dict[str, Any]]
NODES = {"red": "192.168.8.3", "blue": "192.168.8.4", "green": "192.168.8.4"}


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Iterator[Guests]:
    made = {
        "red": cloud.boot("red", "compute-1", network="calico"),
        "blue": cloud.boot("blue", "compute-2", network="calico"),
        "green": cloud.boot("green", "compute-2", network="calico"),
    }
    with (
        talk(cloud, "red", "answer", str(PORT)),
        talk(cloud, "blue", "answer", str(PORT)),
        talk(cloud, "green", "answer", str(PORT)),
    ):
        yield made


def test_the_current_client_gives_moves_and_takes_it(cloud: Cloud, guests: Guests) -> None:
    service, fixed = "10.65.0.23", "subnet=calico-v4,ip-address=10.65.0.23"
    former = None
    for name in ("red", "blue", "green"):
        if former is not None:
            cloud.openstack("port", "unset", "--fixed-ip", fixed, guests[former]["port"])
        cloud.openstack("port", "set", "--fixed-ip", fixed, guests[name]["port"])
        _configure(cloud, name, service)
        _expect_at(cloud, guests[name], service)
        former = name
    cloud.openstack("port", "unset", "--fixed-ip", fixed, guests["green"]["port"])
    eventually(partial(traces, cloud, service), [].__eq__, seconds=4)


def test_the_legacy_client_gives_moves_and_takes_it(cloud: Cloud, guests: Guests) -> None:
    service = "10.65.0.24"
    for name, given in (("red", True), ("red", False), ("blue", True)):
        _legacy(cloud, guests[name], *([service] * given))
        if given:
            _configure(cloud, name, service)
            _expect_at(cloud, guests[name], service)
    _legacy(cloud, guests["blue"])
    eventually(partial(traces, cloud, service), [].__eq__, seconds=4)


@pytest.mark.parametrize(("old", "new"), [("red", "blue"), ("blue", "green")], ids=["another-node", "same-node"])
def test_after_a_move_no_packet_of_an_old_flow_reaches_the_old_guest(
    cloud: Cloud, guests: Guests, old: str, new: str
) -> None:
    service = {"red": "10.65.0.25", "blue": "10.65.0.26"}[old]
    fixed = f"subnet=calico-v4,ip-address={service}"
    cloud.openstack("port", "set", "--fixed-ip", fixed, guests[old]["port"])
    _configure(cloud, old, service)
    _configure(cloud, new, service)
    _expect_at(cloud, guests[old], service)
    with (
        talk(cloud, "access", "keep", "tcp", service, str(PORT)) as stream,
        talk(cloud, "access", "keep", "udp", service, str(PORT)) as datagrams,
        sniff(cloud, old, f"dst host {service}") as arrived,
    ):
        for flow in (stream, datagrams):
            flow.after(0, f"{old} 192.168.8.1 {service}")
        arrived.after(0, service)
        cloud.openstack("port", "unset", "--fixed-ip", fixed, guests[old]["port"])
        cloud.openstack("port", "set", "--fixed-ip", fixed, guests[new]["port"])
        datagrams.more(f"{new} 192.168.8.1 {service}")
        before = len(arrived)
        stream.after(0, "ECONNRESET")  # the new guest knows nothing of the stream and says so at once
        for _ in range(20):
            datagrams.more(f"{new} 192.168.8.1 {service}")
        assert [] == arrived[before:]
    cloud.openstack("port", "unset", "--fixed-ip", fixed, guests[new]["port"])


def _configure(cloud: Cloud, name: str, address: str) -> None:
    """What the user of a VM does inside; twice does no harm."""
    cloud.on(name, "ip", "address", "replace", f"{address}/24", "dev", "eth0")


def _legacy(cloud: Cloud, guest: dict[str, Any], *services: str) -> None:
    """Give a port its own IPv4 address, and these service IPs, as the only ones of that family."""
    addresses = [*(address for address in guest["addresses"] if "." in address), *services]
    subnet = cloud.get("subnet", "show", "calico-v4")["id"]
    six = cloud.get("subnet", "show", "calico-v6")["id"]
    fixed = [f"subnet_id={subnet},ip_address={address}" for address in addresses] + [f"subnet_id={six}"]
    options = [word for one in fixed for word in ("--fixed-ip", one)]
    cloud.lab.client("neutron", "port-update", guest["port"], *options)


def _expect_at(cloud: Cloud, guest: dict[str, Any], service: str) -> None:
    via = NODES[guest["name"]]
    eventually(lambda: f"{service} via {via} dev eth0 proto bird" in cloud.routes("access").get(service, ""))
    assert f"{service} dev {guest['interface']}" in cloud.routes(guest["node"])[service]
    assert f"{guest['name']} 192.168.8.1 {service}" == ask(cloud, "access", "tcp", service)
