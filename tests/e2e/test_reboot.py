# SPDX-License-Identifier: Apache-2.0
"""A node that loses power and boots again: its guests are there before its agent, and nothing is let in meanwhile."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.bare import Bare, bare_cloud, mac, service, service_ip, tap, workload
from tests.e2e.cloud import eventually

NODE = "compute-1"
SERVED, UNKNOWN = 41, 42
ADDRESS = service(SERVED)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    with bare_cloud("reboot", nodes=2) as made:
        made.guest(SERVED)
        yield made


def own_routes(cloud: Bare) -> list[str]:
    """Return the routes to the guest's addresses on the node, both tables and families, without their order."""
    shown = "".join(cloud.on(NODE, "ip", *family, "route", "show", "table", "all") for family in ((), ("-6",)))
    return sorted(re.findall(rf"^(?:10\.65\.0\.{SERVED}|fd00:65::{SERVED}|{ADDRESS}) .*", shown, re.MULTILINE))


def readdress(cloud: Bare) -> None:
    """Give the guest the addresses that DHCP would have given it again: it booted with nothing."""
    cloud.on(f"g{SERVED}", "ip", "address", "replace", f"10.65.0.{SERVED}/24", "dev", "eth0")
    cloud.on(f"g{SERVED}", "ip", "route", "replace", "default", "via", "10.65.0.254")


def test_it_is_as_it_was_though_its_guests_started_before_its_agent(cloud: Bare) -> None:
    before = own_routes(cloud)
    assert [] != before
    cloud.lab.node("stop", NODE)
    assert not cloud.reaches(ADDRESS)
    cloud.lab.node("start", NODE)
    readdress(cloud)
    eventually(lambda: cloud.reaches(ADDRESS), seconds=40)
    eventually(lambda: before == own_routes(cloud))
    eventually(lambda: [] == cloud.audit(), seconds=20)
    eventually(lambda: "active" == cloud.stored(f"status/{NODE}/address/{ADDRESS}")["state"], seconds=20)


def test_no_packet_of_a_guest_passes_before_the_agent_has_its_policy(cloud: Bare) -> None:
    cloud.lab.node("stop", NODE)
    cloud.lab.service("stop", "controller", "etcd")  # an agent without its store knows no policy
    cloud.lab.node("start", NODE)
    readdress(cloud)
    # node and guest know the way to each other by hand: what is in between is policy alone
    by_hand = ("route", "{}", f"10.65.0.{SERVED}", "dev", tap(SERVED), "metric", "1")
    cloud.on(NODE, "ip", *(word.format("add") for word in by_hand))
    cloud.on(f"g{SERVED}", "ip", "route", "add", "192.168.8.3", "dev", "eth0")
    assert not cloud.reaches(f"10.65.0.{SERVED}", NODE)
    cloud.restart("controller", "etcd")
    eventually(lambda: cloud.reaches(f"10.65.0.{SERVED}", NODE), seconds=40)
    cloud.on(NODE, "ip", *(word.format("delete") for word in by_hand))
    eventually(lambda: cloud.reaches(ADDRESS), seconds=40)
    eventually(lambda: [] == cloud.audit(), seconds=20)


def test_what_was_moved_away_while_it_was_off_does_not_come_back_with_it(cloud: Bare) -> None:
    cloud.lab.plug(name="heir", node="compute-2", interface=tap(UNKNOWN), mac=mac(UNKNOWN))
    cloud.lab.start_guest("heir")
    cloud.on("heir", "ip", "address", "add", f"10.65.0.{UNKNOWN}/24", "dev", "eth0")
    cloud.on("heir", "ip", "route", "add", "default", "via", "10.65.0.254")
    cloud.put(f"workloads/compute-2/w{UNKNOWN}", workload(UNKNOWN, "compute-2"))
    cloud.lab.node("stop", NODE)
    cloud.put(f"service-ips/{ADDRESS}", {**service_ip(UNKNOWN, "compute-2"), "address": ADDRESS})
    cloud.lab.node("start", NODE)
    eventually(lambda: "via 192.168.8.4" in cloud.routes("access").get(ADDRESS, ""), seconds=60)
    eventually(lambda: [] == cloud.audit(), seconds=20)
    assert [] == [route for route in own_routes(cloud) if ADDRESS in route and "dev tap" in route]
    assert cloud.reaches(ADDRESS)
