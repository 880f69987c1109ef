# SPDX-License-Identifier: Apache-2.0
"""kill -9, flapping links, damage by hand, lost notifications: traffic goes on, and the end state is the same."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.bare import PREFIX, Bare, bare_cloud, mac, service, tap
from tests.e2e.cloud import eventually
from tests.e2e.routers import birdc
from tests.e2e.watching import no_packet_lost, route_events

ADDRESSES = [service(11), "10.65.0.11"]
PRESENT = [*ADDRESSES, service(12), "10.65.0.12"]
MACHINES = ("access", "compute-1", "compute-2")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    with bare_cloud("survival", nodes=2) as made:
        made.guest(11)
        made.guest(12, "compute-2")
        # each hears the others by sessions of its own: what a first start still settles is over once all know all
        eventually(lambda: [name for name in MACHINES if not set(PRESENT) <= made.routes(name).keys()], [].__eq__, 40)
        yield made


@pytest.mark.parametrize("killed", [["agent"], ["bird"], ["agent", "bird", "dhcp"]])
def test_a_kill_9_is_no_event_for_any_router_or_node_and_no_packet_is_lost(cloud: Bare, killed: list[str]) -> None:
    with ExitStack() as stack:
        events = [stack.enter_context(route_events(cloud, machine, PRESENT)) for machine in MACHINES]
        stack.enter_context(no_packet_lost(cloud, "access", PRESENT))
        for name in killed:
            cloud.lab.service("kill", "compute-1", name)
        for name in killed:
            cloud.restart("compute-1", name)
        eventually(lambda: [] == cloud.audit(), seconds=20)
        eventually(lambda: 3 == _established(cloud), seconds=40)
        # a router whose neighbour goes away again before this is over drops its routes (RFC 4724, 4.2)
        eventually(lambda: not _restarting(cloud), seconds=40)
    assert [[], [], []] == events


def _established(cloud: Bare) -> int:
    """Count the sessions of compute-1."""
    return birdc(cloud, "compute-1", "show", "protocols").count("Established")


def _restarting(cloud: Bare) -> bool:
    """Tell whether a BIRD still waits for the end of a graceful restart, its own or a neighbour's."""
    shown = "".join(birdc(cloud, machine, "show", "protocols", "all") for machine in MACHINES)
    return "graceful restart active" in shown or "recovery in progress" in birdc(cloud, "compute-1", "show", "status")


def test_what_an_agent_said_stands_while_it_is_killed_and_starts_again(cloud: Bare) -> None:
    before = _said_since(cloud)
    cloud.lab.service("kill", "compute-1", "agent")
    cloud.restart("compute-1", "agent")
    eventually(lambda: [] == cloud.audit(), seconds=20)
    assert before == _said_since(cloud)


def _said_since(cloud: Bare) -> list[int]:
    """Return since which revision of the store each status of an address on compute-1 stands: a deletion ends it."""
    found = cloud.etcdctl("get", "--prefix", f"{PREFIX}status/compute-1/address/", "--write-out", "json")
    return [each["create_revision"] for each in json.loads(found)["kvs"]]


def test_what_was_said_while_an_agent_was_dead_is_done_after(cloud: Bare) -> None:
    cloud.lab.service("kill", "compute-1", "agent")
    claim = cloud.stored(f"service-ips/{service(11)}")
    cloud.put("service-ips/172.16.1.99", {**claim, "address": "172.16.1.99"})
    cloud.remove(f"service-ips/{service(11)}")
    assert service(11) in cloud.routes("access")
    cloud.restart("compute-1", "agent")
    eventually(lambda: cloud.reaches("172.16.1.99") and service(11) not in cloud.routes("access"), seconds=4)
    cloud.put(f"service-ips/{service(11)}", claim)
    cloud.remove("service-ips/172.16.1.99")
    eventually(lambda: cloud.reaches(service(11)) and "172.16.1.99" not in cloud.routes("access"), seconds=4)


def test_a_tap_that_goes_while_the_agent_is_dead_is_withdrawn_by_kernel_and_bird_alone(cloud: Bare) -> None:
    cloud.guest(13)
    cloud.lab.service("kill", "compute-1", "agent")
    cloud.lab.unplug("g13")
    eventually(lambda: not {service(13), "10.65.0.13"} & cloud.routes("access").keys(), seconds=4)
    cloud.restart("compute-1", "agent")
    for path in ("workloads/compute-1/w13", f"service-ips/{service(13)}"):
        cloud.remove(path)
    eventually(lambda: service(13) not in cloud.on("compute-1", "nft", "list", "ruleset"), seconds=10)
    eventually(lambda: cloud.stored(f"status/compute-1/address/{service(13)}") is None, seconds=10)


def test_a_tap_that_flaps_takes_its_addresses_along_and_brings_them_back(cloud: Bare) -> None:
    cloud.on("compute-1", "ip", "link", "set", tap(11), "down")
    eventually(lambda: not set(ADDRESSES) & cloud.routes("access").keys(), seconds=4)
    eventually(lambda: "tap-down" == cloud.stored(f"status/compute-1/address/{service(11)}")["reason"], seconds=4)
    cloud.on("compute-1", "ip", "link", "set", tap(11), "up")
    eventually(lambda: all(cloud.reaches(address) for address in ADDRESSES), seconds=10)
    assert [] == cloud.audit()


def test_an_uplink_that_flaps_leaves_the_node_as_it_was(cloud: Bare) -> None:
    # else the kernel drops the node's own IPv6 address, which no program of this lab would give it again
    cloud.on("compute-1", "sysctl", "-qw", "net.ipv6.conf.eth0.keep_addr_on_down=1")
    cloud.on("compute-1", "ip", "link", "set", "eth0", "down")
    eventually(lambda: _established(cloud) < 3, seconds=20)
    cloud.on("compute-1", "ip", "link", "set", "eth0", "up")
    eventually(lambda: all(cloud.reaches(address) for address in ADDRESSES), seconds=40)
    eventually(lambda: cloud.reaches(service(12), "compute-1"), seconds=40)
    eventually(lambda: [] == cloud.audit(), seconds=10)


@pytest.mark.parametrize(
    "damage",
    [
        "nft delete table inet buoy",
        "nft flush ruleset",
        "nft flush chain inet buoy prerouting_nat",
        "nft chain inet buoy forward_stray '{ policy drop; }'",
        f"nft delete element inet buoy fip4 '{{ {service(11)} }}'",
        f"ip route del {service(11)} table 2053",
        "ip route flush table main proto 205",
        "ip route flush table 2053",
        f"ip route del {service(11)}",
        f"ip neigh del 10.65.0.11 dev {tap(11)}",
        f"ip neigh replace 10.65.0.11 lladdr {mac(99)} nud permanent dev {tap(11)}",
        f"sysctl -qw net.ipv4.conf.{tap(11)}.rp_filter=1",
        f"sysctl -qw net.ipv6.conf.{tap(11)}.disable_ipv6=1",
    ],
)
def test_damage_by_hand_is_repaired_within_a_second_and_counted(cloud: Bare, damage: str) -> None:
    before = _repairs(cloud)
    cloud.on("compute-1", "sh", "-c", damage)
    # the deadline is a second; here another for the looking itself, on two busy cores
    eventually(lambda: [] == cloud.audit() and all(cloud.reaches(address) for address in ADDRESSES), seconds=2)
    assert before < _repairs(cloud)


def _repairs(cloud: Bare) -> float:
    """Sum up what the agent says it has repaired."""
    metrics = cloud.on("compute-1", "curl", "-s", "http://127.0.0.1:9705/metrics")
    return sum(float(value) for value in re.findall(r"^buoy_repairs_total\{.*\} (\S+)$", metrics, re.MULTILINE))


def test_notifications_the_kernel_could_not_deliver_are_made_up_for(cloud: Bare) -> None:
    routes = "".join(f"route add 203.0.{one}.{two}/32 dev lo table 99\n" for one in range(250) for two in range(256))
    with no_packet_lost(cloud, "access", [service(12)]):
        cloud.on("compute-1", "pkill", "-STOP", "-f", "agent run")
        cloud.lab.exec("compute-1", "ip", "-batch", "-", text=routes)
        cloud.on("compute-1", "ip", "route", "del", service(11))
        cloud.on("compute-1", "pkill", "-CONT", "-f", "agent run")
        eventually(lambda: cloud.reaches(service(11)), seconds=20)
        eventually(lambda: [] == cloud.audit(), seconds=10)
    assert 64000 == cloud.on("compute-1", "ip", "route", "show", "table", "99").count("\n")
    cloud.on("compute-1", "ip", "route", "flush", "table", "99")


def test_a_watch_overtaken_by_compaction_hears_everything(cloud: Bare) -> None:
    claim = cloud.stored(f"service-ips/{service(11)}")
    cloud.on("compute-1", "pkill", "-STOP", "-f", "agent run")
    cloud.put("service-ips/172.16.1.98", {**claim, "address": "172.16.1.98"})
    cloud.remove(f"service-ips/{service(11)}")
    for _ in range(20):
        cloud.put("service-ips/172.16.1.97", {**claim, "address": "172.16.1.97"})
    cloud.etcdctl("compact", _revision(cloud))
    cloud.lab.service("kill", "controller", "etcd")
    cloud.restart("controller", "etcd")
    cloud.on("compute-1", "pkill", "-CONT", "-f", "agent run")
    eventually(lambda: cloud.reaches("172.16.1.98") and cloud.reaches("172.16.1.97"), seconds=20)
    eventually(lambda: service(11) not in cloud.routes("access"), seconds=4)
    cloud.put(f"service-ips/{service(11)}", claim)
    for address in ("172.16.1.98", "172.16.1.97"):
        cloud.remove(f"service-ips/{address}")
    eventually(lambda: cloud.reaches(service(11)) and [] == cloud.audit(), seconds=10)


def _revision(cloud: Bare) -> str:
    found = re.search(r'"revision":(\d+)', cloud.etcdctl("get", "none", "-w", "json"))
    assert found is not None
    return found[1]
