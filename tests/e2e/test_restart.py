# SPDX-License-Identifier: Apache-2.0
"""A BIRD that comes back and one that does not, a node that is gone: what a router keeps of them, and how long."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.bare import Bare, bare_cloud, service
from tests.e2e.cloud import eventually
from tests.e2e.routers import birdc
from tests.e2e.watching import no_packet_lost, route_events

ADDRESS = service(31)
NODE, OTHER = "compute-1", "compute-2"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    with bare_cloud("restart", nodes=2) as made:
        made.guest(31)
        yield made


@pytest.fixture(autouse=True)
def well(cloud: Bare) -> None:
    """Have every session up, the address known, and no restart of before still waited for."""
    eventually(lambda: [established(cloud, each) for each in ("access", NODE, OTHER)], [2, 3, 3].__eq__, seconds=40)
    eventually(lambda: all(ADDRESS in cloud.routes(each) for each in ("access", OTHER)), seconds=20)
    eventually(lambda: not any(restarting(cloud, each) for each in ("access", NODE, OTHER)), seconds=40)


def established(cloud: Bare, machine: str) -> int:
    """Count the sessions of a machine."""
    return birdc(cloud, machine, "show", "protocols").count("Established")


def restarting(cloud: Bare, machine: str) -> bool:
    """Tell whether a BIRD still waits for the end of a graceful restart, its own or a neighbour's."""
    seen = birdc(cloud, machine, "show", "protocols", "all") + birdc(cloud, machine, "show", "status")
    return "graceful restart active" in seen or "recovery in progress" in seen


def asked(cloud: Bare, machine: str) -> set[str]:
    """Return for how long the neighbours of a machine ask it to keep their routes, in BIRD's words."""
    sessions = birdc(cloud, machine, "show", "protocols", "all").split("Neighbor capabilities")[1:]
    return {
        line.split()[-1]
        for session in sessions
        for line in session.split("Session:")[0].splitlines()
        if "time:" in line
    }


@contextmanager
def plain_bfd(cloud: Bare) -> Iterator[None]:
    """Have the router take a loss that BFD notices for a death, and not for a restart."""
    for before, after in (("bfd graceful", "bfd on"), ("bfd on", "bfd graceful")):
        cloud.on("access", "sed", "-i", f"s/{before};/{after};/", "/etc/buoy/bird.conf")
        assert "Reconfigured" in birdc(cloud, "access", "configure")
        if after == "bfd on":
            yield


def test_routers_and_nodes_are_asked_for_half_a_minute_and_for_what_is_given(cloud: Bare) -> None:
    assert [{"30"}, {"30", "120"}] == [asked(cloud, each) for each in ("access", OTHER)]
    cloud.buoy("bgp", "set", "--graceful-restart-time", "25")
    cloud.buoy("peer", "set", "access", "--graceful-restart-time", "8")
    eventually(lambda: [asked(cloud, each) for each in ("access", OTHER)], [{"8"}, {"25", "120"}].__eq__, seconds=30)


def test_a_bird_that_is_back_in_that_time_is_no_event_for_anybody(cloud: Bare) -> None:
    with no_packet_lost(cloud, "access", [ADDRESS]), route_events(cloud, "access", [ADDRESS]) as events:
        cloud.lab.service("kill", NODE, "bird")
        cloud.restart(NODE, "bird")
        eventually(lambda: established(cloud, NODE), (3).__eq__, seconds=20)
        eventually(lambda: not any(restarting(cloud, each) for each in ("access", NODE)), seconds=40)
    assert [] == events


def test_a_bird_that_is_not_back_in_that_time_loses_its_routes(cloud: Bare) -> None:
    cloud.lab.service("kill", NODE, "bird")
    assert ADDRESS in cloud.routes("access")
    # 8 s of restart time, and the look every second with which BIRD ends it; the rest is for a busy machine
    eventually(lambda: ADDRESS not in cloud.routes("access"), seconds=16)
    cloud.restart(NODE, "bird")


def test_with_plain_bfd_a_node_whose_uplink_is_gone_is_withdrawn_within_a_second(cloud: Bare) -> None:
    with plain_bfd(cloud):
        assert ADDRESS in cloud.routes("access")
        cloud.on(NODE, "ip", "link", "set", "eth0", "down")
        # a second, twice for a busy machine
        eventually(lambda: ADDRESS not in cloud.routes("access"), seconds=2)
        cloud.on(NODE, "ip", "link", "set", "eth0", "up")
        eventually(lambda: ADDRESS in cloud.routes("access"), seconds=40)
