# SPDX-License-Identifier: Apache-2.0
"""kill -9 of an agent before every single act of its pass: nobody is harmed, and the next agent ends where it would."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buoy.model import documents
from buoy.model.address import Address, Prefix, host_prefix
from buoy.model.documents import Document
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.network import Network, Subnet
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Eligibility, Kind, ProxyPort
from buoy.model.service_ip import Endpoint, Mode, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.workload import FixedIP, Workload
from tests.netns.agent.kernel import broken_promises, everything
from tests.netns.agent.reaper import bring_about, die_at
from tests.netns.dataplane.place import remove_all
from tests.netns.dataplane.world import Guest, World
from tests.netns.proxy.node import IPV4, forward

NODE = "compute-1"
SERVICE = Address("198.51.100.20")
GROUP = SecurityGroup(
    id="web",
    rules=(Rule(side=Side.EGRESS, family=4), Rule(side=Side.INGRESS, family=4, group="web")),
)
TIGHTER = SecurityGroup(id="web", rules=(Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=80),))
BACKING = Backing(service="shop/web", kind=Kind.LOAD_BALANCER, ports=(ProxyPort("tcp", 80),), local=True, ready=(NODE,))
BALANCED = ServiceIP(address=Address("203.0.113.5"), mode=Mode.PROXIED, backings=(BACKING,))
SETTINGS = BGPSettings(advertise=(Advertised(prefix=Prefix("203.0.113.0/24"), kinds=(Kind.LOAD_BALANCER,)),))
AROUND = (
    Network(id="net"),
    Subnet(id="s4", network="net", prefix=Prefix("192.0.2.0/24"), gateway=Address("192.0.2.254")),
    Subnet(id="s6", network="net", prefix=Prefix("2001:db8:2::/64")),
)


def port(guest: Guest, group: str = "web") -> Workload:
    addresses = (FixedIP(address=guest.address, subnet="s4"), FixedIP(address=guest.address6, subnet="s6"))
    return Workload(
        id=f"port-{guest.tap}", node=NODE, interface=guest.tap, mac=guest.mac, network="net",
        fixed_ips=addresses, groups=(group,),
    )  # fmt: skip


def member(guest: Guest) -> Member:
    return Member(group="web", prefix=host_prefix(guest.address))


def leading_to(guest: Guest) -> ServiceIP:
    endpoint = Endpoint(workload=f"port-{guest.tap}", target=guest.address, node=NODE)
    return ServiceIP(address=SERVICE, endpoints=(endpoint,))


def wished(*wanted: Document) -> Snapshot:
    return Snapshot(Identity("test", 1), {documents.path(one): one for one in wanted}, {}, {})


@pytest.fixture
def world() -> Iterator[World]:
    prefix = f"kill{os.getpid()}"
    try:
        made = World(prefix)
        yield made
        made.close()
    finally:
        remove_all(prefix)


Change = tuple[Snapshot, Snapshot]


def changes(one: Guest, two: Guest) -> dict[str, Change]:
    """Return what changes, by name: before and after."""
    both = (*AROUND, GROUP, port(one), port(two), member(one), member(two))
    alone = wished(*AROUND, GROUP, port(one), member(one), leading_to(one))
    served = wished(*both, leading_to(one))
    other = SecurityGroup(id="other", rules=GROUP.rules)
    regrouped = (*AROUND, GROUP, other, port(one, "other"), port(two), member(two), leading_to(one))
    tightened = (*AROUND, TIGHTER, port(one), port(two), member(one), leading_to(one))
    cluster = (SETTINGS, Eligibility(node=NODE))
    announced = wished(*cluster, BALANCED)
    return {
        "a Service comes": (wished(), announced),
        "a Service goes": (announced, wished(*cluster)),
        "a first start": (wished(), alone),
        "it moves to another guest": (served, wished(*both, leading_to(two))),
        "its guest changes its group": (served, wished(*regrouped)),
        "a group is tightened": (served, wished(*tightened)),
        "everything goes": (alone, wished()),
    }


@pytest.mark.parametrize(
    "name",
    [
        "a Service comes",
        "a Service goes",
        "a first start",
        "it moves to another guest",
        "its guest changes its group",
        "a group is tightened",
        "everything goes",
    ],
)
def test_at_no_act_of_a_pass_does_a_kill_break_the_promise_or_leave_a_trace(
    world: World, tmp_path: Path, name: str
) -> None:
    before, after = changes(world.guest(1), world.guest(2))[name]
    world.node.exec("nft", "-f", "-", text=f"{IPV4}\n{forward(BALANCED.address)}\n")
    world.host.close()
    bring_about(NODE, before, tmp_path)
    bring_about(NODE, after, tmp_path)
    wanted = everything(world.node, tmp_path)
    act = 0
    while True:
        bring_about(NODE, before, tmp_path)
        if not die_at(act, lambda: bring_about(NODE, after, tmp_path)):
            break
        assert [] == broken_promises(world.node), f"killed before act {act}"
        bring_about(NODE, after, tmp_path)
        assert wanted == everything(world.node, tmp_path), f"killed before act {act}"
        act += 1
    assert act > len(name.split())


def test_what_a_killed_first_start_has_begun_is_taken_back_when_nothing_is_wished_any_more(
    world: World, tmp_path: Path
) -> None:
    nothing, served = changes(world.guest(1), world.guest(2))["a first start"]
    world.host.close()
    # sysctls of an interface that was closed again are not those of one never opened
    bring_about(NODE, served, tmp_path)
    bring_about(NODE, nothing, tmp_path)
    wanted, act = everything(world.node, tmp_path), 0
    while die_at(act, lambda: bring_about(NODE, served, tmp_path)):
        bring_about(NODE, nothing, tmp_path)
        assert wanted == everything(world.node, tmp_path), f"killed before act {act}"
        act += 1
    assert act > len(AROUND)
