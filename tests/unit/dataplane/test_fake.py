# SPDX-License-Identifier: Apache-2.0
"""The node in memory forwards as a real one does: asked about traffic, not about calls."""

from collections.abc import Callable

import msgspec
import pytest

from buoy.dataplane.driver import Disturbance, Host
from buoy.dataplane.fake import Fake, Killed
from buoy.dataplane.fake_packet import PROXIED, UPLINK, Delivered, Dropped, Packet
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.network import Subnet
from buoy.model.nodestate import Change, Dnat, Egress, Flush, Key, Link, Phase, Step, Stray, Table
from buoy.model.proxied import ProxyPort
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.verify import mismatches
from tests.unit.planner.cloud import (
    FIXED,
    OTHER_FIXED,
    SERVICE,
    SERVICE2,
    THERE,
    endpoint,
    fixed,
    floating,
    key,
    mapped,
    node,
    port,
)

CLIENT = Address("203.0.113.9")
OPEN = SecurityGroup(
    id="red",
    rules=(Rule(side=Side.EGRESS, family=4), Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=1080)),
)
INSIDE = Subnet(id="s4", network="net", prefix=Prefix("192.0.2.0/24"))
PORT, FLOATING = port(groups=("red",)), floating()
SECOND = port(id="port2", interface="tap2", fixed_ips=(fixed(OTHER_FIXED),), groups=("red",))
LINKS = (Link("tap1", 2, up=True), Link("tap2", 3, up=True))


def fake(*documents: Document, refuse: Callable[[Step], str | None] = lambda _: None) -> Fake:
    """Return a node that holds what these documents want."""
    host = Fake(refuse)
    host.set_link("tap1")
    host.set_link("tap2")
    settle(host, *documents)
    return host


def settle(host: Fake, *documents: Document) -> Desired:
    desired = node(OPEN, *documents, links=LINKS)
    host.apply(make_plan(host.observe(None), desired.state).steps)
    return desired


def outside(dst: Address = SERVICE, **changes: object) -> Packet:
    return Packet(CLIENT, dst, **changes)  # type: ignore[arg-type]  # fields by name


def guest(dst: Address, src: Address = FIXED, interface: str = "tap1") -> Packet:
    return Packet(src, dst, interface=interface)


def test_it_is_a_host() -> None:
    host: Host = fake(PORT)
    assert {"tap1", "tap2"} == set(host.links())


def test_a_packet_to_a_floating_ip_reaches_the_fixed_ip_and_its_answer_comes_from_the_floating_ip() -> None:
    host = fake(PORT, FLOATING)
    assert Delivered("tap1", Packet(CLIENT, FIXED, interface="tap1")) == host.forward(outside())
    answer = host.forward(Packet(FIXED, CLIENT, sport=80, dport=40000, interface="tap1"))
    assert Delivered("uplink", Packet(SERVICE, CLIENT, sport=80, dport=40000)) == answer


@pytest.mark.parametrize(
    ("documents", "dst", "src"),
    [
        ((PORT, FLOATING), CLIENT, SERVICE),
        ((PORT,), CLIENT, FIXED),
        ((PORT, FLOATING, INSIDE), Address("192.0.2.200"), FIXED),
    ],
)
def test_connections_leave_with_the_floating_ip_but_not_towards_the_inside(
    documents: tuple[Document, ...], dst: Address, src: Address
) -> None:
    assert Delivered("uplink", Packet(src, dst)) == fake(*documents).forward(guest(dst))


def test_hairpin_to_ones_own_floating_ip_comes_from_the_address_that_was_dialled() -> None:
    host = fake(PORT, FLOATING)
    assert Delivered("tap1", Packet(SERVICE, FIXED, interface="tap1")) == host.forward(guest(SERVICE))


def test_from_floating_ip_to_floating_ip() -> None:
    other = floating(address=SERVICE2, endpoints=(endpoint(workload="port2", target=OTHER_FIXED),))
    host = fake(PORT, SECOND, FLOATING, other, INSIDE)
    assert Delivered("tap2", Packet(SERVICE, OTHER_FIXED, interface="tap2")) == host.forward(guest(SERVICE2))


def test_mapped_ports_and_relays() -> None:
    host = fake(PORT, floating(endpoints=(mapped(80), mapped(443, node=THERE, target=Address("192.0.2.77")))))
    assert Delivered("tap1", Packet(CLIENT, FIXED, dport=1080, interface="tap1")) == host.forward(outside())
    relayed = host.forward(outside(dport=443))
    assert Delivered("uplink", Packet(SERVICE, Address("192.0.2.77"), dport=1443)) == relayed
    assert Dropped("discarded") == host.forward(outside(dport=22))


@pytest.mark.parametrize(
    ("packet", "dropped"),
    [
        (Packet(CLIENT, FIXED, dport=22), "ingress policy of tap1"),
        (Packet(CLIENT, FIXED, proto="udp"), "ingress policy of tap1"),
        (Packet(Address("192.0.2.66"), CLIENT, interface="tap1"), "egress policy of tap1"),
        (Packet(FIXED, CLIENT, interface="tap9"), "egress policy of tap9"),
    ],
)
def test_policy(packet: Packet, dropped: str) -> None:
    assert Dropped(dropped) == fake(PORT).forward(packet)


def test_members_may_what_their_group_may_and_open_ports_may_anything() -> None:
    blue = SecurityGroup(id="blue", rules=(Rule(side=Side.INGRESS, family=4, group="friends"),))
    near = SecurityGroup(id="near", rules=(Rule(side=Side.INGRESS, family=4, prefix=Prefix("198.18.0.0/15")),))
    friend = Member(group="friends", prefix=Prefix("203.0.113.0/24"))
    grouped = port(groups=("blue", "near"))
    assert Dropped("ingress policy of tap1") == fake(grouped, blue, near).forward(outside(FIXED, dport=22))
    assert isinstance(fake(grouped, blue, near, friend).forward(outside(FIXED, dport=22)), Delivered)
    assert isinstance(fake(port(port_security=False)).forward(outside(FIXED, dport=22)), Delivered)


def test_a_flow_keeps_its_translation_until_it_is_flushed() -> None:
    host = fake(PORT, SECOND, FLOATING)
    moved = floating(endpoints=(endpoint(workload="port2", target=OTHER_FIXED),))
    first = host.forward(outside())
    host.damage(key(Table.DNAT, SERVICE), Dnat(OTHER_FIXED))
    assert first == host.forward(outside())
    assert Delivered("tap2", Packet(CLIENT, OTHER_FIXED, sport=1, interface="tap2")) == host.forward(outside(sport=1))
    settle(host, PORT, SECOND, FLOATING)
    settle(host, PORT, SECOND, moved)
    assert Delivered("tap2", Packet(CLIENT, OTHER_FIXED, interface="tap2")) == host.forward(outside())


def test_a_tap_that_goes_down_takes_its_routes_and_one_that_vanishes_everything() -> None:
    host = fake(PORT, SECOND)
    host.set_link("tap1", up=False)
    tables = {at.table for at in host.observe(None) if "tap1" in at.name or "192.0.2.1/32" in at.name}
    assert {Table.GUARD, Table.LINK} == tables
    assert Delivered("uplink", outside(FIXED)) == host.forward(outside(FIXED))
    host.remove_link("tap2")
    assert key(Table.LINK, "tap2") not in host.observe(None)
    assert {"tap1": Link("tap1", 2, up=False)} == host.links()


def test_a_route_by_another_hand_may_lead_nowhere() -> None:
    host = fake(PORT)
    host.damage(key(Table.NEIGHBOUR, "tap1", FIXED))
    assert Dropped("nobody at 192.0.2.1 on tap1") == host.forward(outside(FIXED))
    route = host.observe([key(Table.ROUTE, "192.0.2.1/32")])
    host.set_link("tap1", up=False)
    for at, entry in route.items():
        host.damage(at, entry)
    assert Dropped("tap1 is down") == host.forward(outside(FIXED))


def test_disturbances_are_told_once() -> None:
    host = fake(PORT)
    host.disturbances()
    host.damage(key(Table.GUARD, "tap1"))
    host.set_link("tap2", up=False)
    host.overrun()
    assert Disturbance(frozenset({key(Table.GUARD, "tap1")}), frozenset({"tap2"}), overrun=True) == host.disturbances()
    assert Disturbance() == host.disturbances()


def test_what_is_refused_fails_and_nothing_is_announced_without_it() -> None:
    def refuse(step: Step) -> str | None:
        built = isinstance(step.act, Change) and step.act.key == key(Table.DNAT, SERVICE)
        return "No space left on device" if built else None

    host = fake(PORT, FLOATING, refuse=refuse)
    desired = node(OPEN, PORT, FLOATING, links=LINKS)
    told = key(Table.ANNOUNCEMENT, "198.51.100.1/32")
    missing = [key(Table.DNAT, SERVICE), key(Table.EGRESS, FIXED), told]
    assert missing == [mismatch.key for mismatch in mismatches(desired.state, host.observe(None))]
    failures = host.apply(make_plan(host.observe(None), desired.state).steps)
    assert ["No space left on device", *["it waits for what failed before"] * 2] == [
        failure.error for failure in failures
    ]
    host.refuse = lambda _: None
    assert [] == host.apply(make_plan(host.observe(None), desired.state).steps)


def test_the_kernel_refuses_routes_over_a_link_that_is_not_up() -> None:
    failures = Fake().apply(make_plan({}, node(PORT, links=LINKS).state).steps)
    assert "Network is down: tap1" == failures[0].error


def test_it_dies_when_told_and_a_new_plan_goes_on_from_there() -> None:
    desired = node(OPEN, PORT, FLOATING, links=LINKS)
    steps = make_plan({}, desired.state).steps
    for at in range(len(steps)):
        host = Fake()
        host.set_link("tap1")
        host.dies_after = at
        with pytest.raises(Killed):
            host.apply(steps)
        host.dies_after = None
        assert at == len(host.done)
        host.apply(make_plan(host.observe(None), desired.state).steps)
        assert dict(desired.state) == dict(host.observe(None))


def test_a_flush_leaves_other_flows_alone() -> None:
    host = fake(PORT, FLOATING)
    host.forward(outside())
    host.damage(key(Table.DNAT, SERVICE))
    host.apply([Step(Phase.FLUSH_NEW, Flush((OTHER_FIXED,)))])
    assert isinstance(host.forward(outside()), Delivered)
    host.apply([Step(Phase.FLUSH_NEW, Flush((SERVICE,)))])
    assert Dropped("nobody at 198.51.100.1 on tap1") == host.forward(outside())
    assert {} == host.observe([Key(Table.DNAT, (SERVICE,))])


@pytest.mark.parametrize(("phase", "ended"), [(Phase.FLUSH_NEW, False), (Phase.FLUSH_OLD, True)])
def test_what_left_with_a_service_ip_ends_after_the_change(phase: Phase, ended: bool) -> None:
    host = fake(PORT)
    own = Packet(FIXED, CLIENT, interface="tap1")
    host.damage(key(Table.EGRESS, FIXED), Egress(SERVICE))
    host.forward(own)
    host.damage(key(Table.EGRESS, FIXED))
    host.apply([Step(phase, Flush((SERVICE,), service_ips=(SERVICE,)))])
    left = host.forward(own)
    assert isinstance(left, Delivered)
    assert (FIXED if ended else SERVICE) == left.packet.src


def test_a_flush_of_the_unanswered_leaves_what_was_answered() -> None:
    host = fake(PORT)
    own = Packet(FIXED, CLIENT, interface="tap1")
    host.forward(own)
    host.damage(key(Table.EGRESS, FIXED), Egress(SERVICE))
    host.apply([Step(Phase.FLUSH_NEW, Flush(unanswered=(FIXED,)))])
    left = host.forward(own)
    assert isinstance(left, Delivered)
    assert SERVICE == left.packet.src
    host.forward(left.packet.reply)
    host.damage(key(Table.EGRESS, FIXED))
    host.apply([Step(Phase.FLUSH_NEW, Flush(unanswered=(FIXED,)))])
    left = host.forward(own)
    assert isinstance(left, Delivered)
    assert SERVICE == left.packet.src


def test_what_its_service_proxy_forwards_arrives_and_what_it_does_not_is_dropped_where_it_would_go_back() -> None:
    host, address = fake(PORT), Address("203.0.113.5")
    host.service_proxy.forward(address, [ProxyPort("tcp", 80)])
    stray = Change(key(Table.STRAY, "203.0.113.0/24"), None, Stray())
    assert isinstance(host.forward(outside(address)), Delivered)
    assert UPLINK == getattr(host.forward(outside(address, dport=81)), "interface", None)
    host.apply([Step(Phase.BUILD, stray)])
    assert PROXIED == getattr(host.forward(outside(address)), "interface", None)
    assert Dropped("astray") == host.forward(outside(address, dport=81))
    from_inside = msgspec.structs.replace(guest(address), dport=81)
    assert UPLINK == getattr(host.forward(from_inside), "interface", None)
