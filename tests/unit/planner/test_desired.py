# SPDX-License-Identifier: Apache-2.0
"""What a change costs, and what it says it touched. That it is right is a property: see tests/properties."""

from collections.abc import Iterator

import pytest

from buoy.model.address import Address, Prefix, host_prefix, unpacked
from buoy.model.documents import Document, path
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.nodestate import Announcement, Class, Entry, Flush, Key, Link, Table
from buoy.model.service_ip import Endpoint, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.sight import Sight, Stir
from buoy.planner.verify import Mismatch
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import (
    FIXED,
    HERE,
    OTHER_FIXED,
    SERVICE,
    SUBNET,
    THERE,
    UP,
    fixed,
    floating,
    key,
    no_guest,
    node,
    only,
    port,
    snapshot,
)


class Node:
    """A node with as many ports and service IPs as are asked for, all in one group."""

    def __init__(self, size: int) -> None:
        self.documents: dict[str, Document] = {}
        self.links: dict[str, Link] = {}
        self.put(SecurityGroup(id="red", rules=(Rule(side=Side.INGRESS, family=4, group="red"),)))
        self.put(SUBNET)
        for number in range(size):
            self.put(self.port(number))
            self.put(self.service(number))
            self.links[f"tap{number}"] = Link(f"tap{number}", number + 2, up=True)
        self.desired = Desired(Here(HERE, no_guest))
        self.desired.update(self.snapshot(), None, Sight(self.links))

    def snapshot(self) -> Snapshot:
        return Snapshot(Identity("cluster", 1), self.documents, {}, {})

    def put(self, document: Document) -> str:
        self.documents[path(document)] = document
        return path(document)

    def port(self, number: int, target: int | None = None) -> Document:
        address = inside(number if target is None else target)
        return port(id=f"port{number}", interface=f"tap{number}", fixed_ips=(fixed(address),), groups=("red",))

    def service(self, number: int, to: int | None = None) -> Document:
        to = number if to is None else to
        return ServiceIP(
            address=unpacked((0xC6120000 + number).to_bytes(4)),
            endpoints=(Endpoint(workload=f"port{to}", target=inside(to), node=HERE),),
        )

    def cost(self, *paths: str, links: frozenset[str] = frozenset()) -> int:
        before = self.desired.computed
        self.desired.update(self.snapshot(), frozenset(paths), Sight(self.links), Stir(links))
        return self.desired.computed - before


def inside(number: int) -> Address:
    return unpacked((0x0A000000 + number).to_bytes(4))


def costs(size: int) -> dict[str, int]:
    """Return how many subjects each kind of change computes on a node of this size."""
    host = Node(size)
    costs = {
        "a service IP comes": host.cost(host.put(host.service(size, to=3))),
        "moves": host.cost(host.put(host.service(size, to=4))),
        "a port changes its address": host.cost(host.put(host.port(5, target=1_000_000))),
        "a port comes": host.cost(host.put(host.port(size))),
        "a member comes": host.cost(host.put(Member(group="red", prefix=Prefix("192.0.2.77/32")))),
        "a rule goes": host.cost(host.put(SecurityGroup(id="red"))),
    }
    host.links["tap6"] = Link("tap6", 8, up=False)
    costs["a tap goes down"] = host.cost(links=frozenset({"tap6"}))
    del host.documents[path(host.service(7))]
    return costs | {"a service IP goes": host.cost(path(host.service(7)))}


def test_a_change_computes_as_many_subjects_at_100_as_at_10000() -> None:
    expected = {
        "a service IP comes": 1,
        "moves": 1,
        "a port changes its address": 2,
        "a port comes": 1,
        "a member comes": 1,
        "a rule goes": 1,
        "a tap goes down": 2,
        "a service IP goes": 1,
    }
    assert expected == costs(100) == costs(10_000)


_Entries = dict[Key, Entry]


class Unwalked(_Entries):
    """A state that may be asked for an entry, but not be walked through."""

    def __iter__(self) -> Iterator[Key]:
        raise AssertionError

    items = values = keys = __iter__  # type: ignore[assignment]


def test_whose_flows_end_with_a_rule_or_a_network_is_known_without_a_look_at_the_node() -> None:
    host = Node(20)
    wide = host.put(Member(group="red", prefix=Prefix("192.0.2.0/24")))
    host.cost(wide)
    before, ports = dict(host.desired.state), {unpacked((0x0A000000 + number).to_bytes(4)) for number in range(20)}
    del host.documents[wide]
    host.documents["groups/red"] = SecurityGroup(id="red")
    for paths in ({wide}, {"groups/red"}):
        touched = host.desired.update(host.snapshot(), frozenset(paths), Sight(host.links))
        state = Unwalked()
        state |= host.desired.state
        plan = make_plan(before, state, touched.keys, host.desired)
        ended = {each for step in plan.steps if isinstance(step.act, Flush) for each in step.act.connectionless}
        assert ports == ended & ports
        before = dict(host.desired.state)


def test_an_update_says_what_it_touched() -> None:
    desired = node(port())
    touched = desired.update(snapshot(port(), floating()), frozenset({f"service-ips/{SERVICE}"}), Sight({"tap1": UP}))
    assert touched.keys == frozenset(
        {
            key(Table.DNAT, SERVICE),
            key(Table.EGRESS, FIXED),
            key(Table.ROUTE, "198.51.100.1/32"),
            key(Table.ANNOUNCEMENT, "198.51.100.1/32"),
        }
    )
    assert (frozenset({SERVICE}), frozenset[str]()) == (touched.addresses, touched.workloads)


def test_a_port_that_goes_is_told_with_its_addresses() -> None:
    desired = node(port(), floating())
    touched = desired.update(snapshot(floating()), frozenset({f"workloads/{HERE}/port1"}), Sight({"tap1": UP}))
    assert (frozenset({SERVICE, FIXED}), frozenset({"port1"})) == (touched.addresses, touched.workloads)


def test_a_tap_that_flapped_touches_its_keys_though_nothing_changed() -> None:
    touched = node(port()).update(snapshot(port()), frozenset(), Sight({"tap1": UP}), Stir(frozenset({"tap1"})))
    assert touched.keys is not None
    assert key(Table.ROUTE, "192.0.2.1/32") in touched.keys


def test_documents_that_are_not_this_nodes_affair_touch_nothing() -> None:
    desired = node(port())
    others: list[Document] = [
        port(id="port9", node=THERE),
        AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE),
        Member(group="red", prefix=Prefix("192.0.2.9/32")),
    ]
    touched = desired.update(snapshot(port(), *others), frozenset(map(path, others)), Sight({"tap1": UP}))
    assert (frozenset(), frozenset(), frozenset()) == (touched.keys, touched.addresses, touched.workloads)
    assert frozenset() == desired.update(snapshot(port()), frozenset({"members/red/192.0.2.9/32"}), Sight()).keys


@pytest.mark.parametrize(
    ("wrong", "waiting"),
    [
        ((), ()),
        ((key(Table.DNAT, SERVICE),), (SERVICE,)),
        ((key(Table.GUARD, "tap1"),), (SERVICE, FIXED)),
        ((key(Table.NEIGHBOUR, "tap1", FIXED),), (SERVICE, FIXED)),
        ((key(Table.GROUP, "red"),), (SERVICE, FIXED)),
        ((key(Table.ANNOUNCEMENT, "198.51.100.1/32"),), ()),
        ((key(Table.GUARD, "tap2"),), (OTHER_FIXED,)),
    ],
)
def test_an_announcement_waits_for_what_it_needs(wrong: tuple[Key, ...], waiting: tuple[Address, ...]) -> None:
    neighbour = port(id="port2", interface="tap2", fixed_ips=(fixed(OTHER_FIXED),))
    desired = node(port(groups=("red",)), neighbour, floating(), links=(UP, Link("tap2", 8, up=True)))
    announced = list(only(desired, Table.ANNOUNCEMENT))
    mismatches = [Mismatch(entry, None, None) for entry in wrong]
    expected = {key(Table.ANNOUNCEMENT, host_prefix(address)) for address in waiting}
    assert expected == desired.baseless(announced, mismatches)


def test_an_aggregate_waits_for_its_discard() -> None:
    wrong = [Mismatch(key(Table.DISCARD, "203.0.113.0/24"), None, Announcement(None))]
    aggregates = [key(Table.ANNOUNCEMENT, prefix) for prefix in ("203.0.113.0/24", "198.51.100.0/24")]
    assert {aggregates[0]} == node().baseless(aggregates, wrong)


def test_damage_concerns_those_who_need_what_was_damaged() -> None:
    neighbour = port(id="port2", interface="tap2", fixed_ips=(fixed(OTHER_FIXED),))
    desired = node(port(), neighbour, floating(), links=(UP, Link("tap2", 8, up=True)))
    concerned = desired.concerned([key(Table.DNAT, SERVICE)])
    assert (frozenset({SERVICE}), frozenset[str]()) == (concerned.addresses, concerned.workloads)
    concerned = desired.concerned([key(Table.GUARD, "tap1")])
    assert (frozenset({SERVICE, FIXED}), frozenset({"port1"})) == (concerned.addresses, concerned.workloads)


def test_a_draining_node_announces_the_same_prefixes_as_the_last_resort() -> None:
    desired = node(port(), floating())
    before = dict(desired.state)
    desired.prefer(Class.DRAIN)
    desired.update(desired.snapshot, None, Sight({"tap1": UP}))
    changed = {entry for entry in before if before[entry] != desired.state[entry]}
    assert before.keys() == desired.state.keys()
    assert {key(Table.ANNOUNCEMENT, host_prefix(SERVICE)), key(Table.ANNOUNCEMENT, host_prefix(FIXED))} == changed
    assert {Announcement("tap1", Class.DRAIN)} == {desired.state[entry] for entry in changed}
