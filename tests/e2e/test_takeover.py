# SPDX-License-Identifier: Apache-2.0
"""An address moves away from a node that announces it still: nobody is led there; it confirms, or is fenced."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from tests.e2e.bare import Bare, bare_cloud, service, service_ip
from tests.e2e.cloud import eventually
from tests.e2e.routers import NODES, birdc
from tests.e2e.watching import no_packet_lost, route_events

OLD, NEW, THIRD = NODES.values()
ADDRESS = service(21)
_CUT = """table inet cut {
    chain out { type filter hook output priority 0; ip daddr 192.168.8.2 tcp dport 2379 drop; }
    chain in { type filter hook input priority 0; ip saddr 192.168.8.2 tcp sport 2379 drop; }
}"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    """A service IP that leads to g21 on compute-1; it may move to g22 on compute-2, or to g23 on compute-3 as well."""
    with bare_cloud("takeover", nodes=3) as made:
        made.guest(21)
        made.guest(22, "compute-2")
        made.guest(23, "compute-3")
        yield made


@pytest.fixture(autouse=True)
def at_home(cloud: Bare) -> None:
    """Have the address on compute-1, announced as ever."""
    cloud.put(f"service-ips/{ADDRESS}", service_ip(21, "compute-1"))
    eventually(lambda: heard(cloud), {OLD: "Incomplete"}.__eq__, seconds=20)
    # a node that ends before it has said so was never known to announce the address
    eventually(lambda: cloud.stored(f"status/compute-1/address/{ADDRESS}")["state"], "active".__eq__)


@contextmanager
def cut_off(cloud: Bare) -> Iterator[None]:
    """Let no word of the store reach compute-1, nor one of its own the store; its BIRD speaks with everybody."""
    cloud.lab.exec("compute-1", "nft", "-f", "-", text=_CUT)
    try:
        yield
    finally:
        cloud.on("compute-1", "nft", "delete", "table", "inet", "cut")


def move(cloud: Bare) -> None:
    """Lead the address to the guest on compute-2."""
    cloud.put(f"service-ips/{ADDRESS}", {**service_ip(22, "compute-2"), "address": ADDRESS})


def heard(cloud: Bare, machine: str = "access") -> dict[str, str]:
    """Return the origin with which a router hears the address, by next hop."""
    said = birdc(cloud, machine, "show", "route", f"{ADDRESS}/32", "all")
    origins, hops = (re.findall(rf"BGP\.{name}: (\S+)", said) for name in ("origin", "next_hop"))
    return dict(zip(hops, origins, strict=True))


def used(cloud: Bare, machine: str = "access") -> set[str]:
    """Return the next hops a machine's kernel uses for the address."""
    return set(re.findall(r"via (\S+)", cloud.on(machine, "ip", "route", "show", ADDRESS)))


def unconfirmed(cloud: Bare, node: str) -> bool:
    """Tell whether `buoy why` names the old node."""
    lines = json.loads(cloud.buoy("why", ADDRESS, "-o", "json", node=node, check=False))
    named = [line["text"] for line in lines if line["reason"] == "old-node-not-confirmed"]
    return bool(named) and all("compute-1 has not confirmed" in text for text in named)


def test_an_old_node_that_is_cut_off_from_the_store_gets_no_packet_though_it_announces(cloud: Bare) -> None:
    eventually(lambda: used(cloud), {OLD}.__eq__)
    with cut_off(cloud):
        move(cloud)
        for machine in ("access", "compute-3"):
            eventually(partial(heard, cloud, machine), {OLD: "Incomplete", NEW: "IGP"}.__eq__)
            eventually(partial(used, cloud, machine), {NEW}.__eq__)
        assert ["g22"] * 10 == [cloud.http("access", ADDRESS) for _ in range(10)]
        assert [True, True] == [unconfirmed(cloud, node) for node in ("controller", "compute-2")]
        assert [] == cloud.audit("compute-2")


def test_nodes_that_share_an_address_take_it_over_together(cloud: Bare) -> None:
    with cut_off(cloud):
        shared = [*service_ip(22, "compute-2")["endpoints"], *service_ip(23, "compute-3")["endpoints"]]
        cloud.put(f"service-ips/{ADDRESS}", {"address": ADDRESS, "endpoints": shared})
        eventually(lambda: heard(cloud), {OLD: "Incomplete", NEW: "IGP", THIRD: "IGP"}.__eq__)
        eventually(lambda: used(cloud), {NEW, THIRD}.__eq__)
    eventually(lambda: heard(cloud), {NEW: "Incomplete", THIRD: "Incomplete"}.__eq__, seconds=20)
    assert {NEW, THIRD} == used(cloud)


def test_once_the_old_node_confirms_the_preference_is_as_ever_and_no_packet_is_lost(cloud: Bare) -> None:
    with route_events(cloud, "access", [ADDRESS]) as events, ExitStack() as watch:
        with cut_off(cloud):
            move(cloud)
            eventually(lambda: used(cloud), {NEW}.__eq__)
            watch.enter_context(no_packet_lost(cloud, "access", [ADDRESS]))
        eventually(lambda: heard(cloud), {NEW: "Incomplete"}.__eq__, seconds=20)
        eventually(lambda: not unconfirmed(cloud, "controller"))
    assert [] == [line for line in events if line.startswith("Deleted")]
    assert ({NEW}, "g22") == (used(cloud), cloud.http("access", ADDRESS))


def test_what_an_operator_fences_is_waited_for_no_more_and_is_again_once_that_is_taken_back(cloud: Bare) -> None:
    cloud.lab.service("kill", "compute-1", "agent")
    move(cloud)
    eventually(lambda: heard(cloud), {OLD: "Incomplete", NEW: "IGP"}.__eq__)
    # the fence of a node with a living agent is refused: its lease is 15 s
    eventually(lambda: "is fenced" in cloud.buoy("node", "fence", "compute-1", check=False), seconds=40)
    eventually(lambda: heard(cloud), {OLD: "Incomplete", NEW: "Incomplete"}.__eq__)
    assert not unconfirmed(cloud, "compute-2")
    cloud.buoy("node", "unfence", "compute-1")
    eventually(lambda: heard(cloud), {OLD: "Incomplete", NEW: "IGP"}.__eq__)
    # who comes later knows it from what the store remembers
    cloud.lab.service("kill", "compute-2", "agent")
    with route_events(cloud, "compute-2", [ADDRESS]) as events:
        cloud.restart("compute-2", "agent")
    assert ([], {NEW}) == (events, used(cloud))
    cloud.restart("compute-1", "agent")
    eventually(lambda: heard(cloud), {NEW: "Incomplete"}.__eq__, seconds=20)


def test_a_move_between_two_nodes_that_are_well_ends_as_it_always_did(cloud: Bare) -> None:
    move(cloud)
    eventually(lambda: heard(cloud), {NEW: "Incomplete"}.__eq__)
    assert ({NEW}, "g22", False) == (used(cloud), cloud.http("access", ADDRESS), unconfirmed(cloud, "compute-2"))
