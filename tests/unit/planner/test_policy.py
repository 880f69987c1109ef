# SPDX-License-Identifier: Apache-2.0
"""Who may talk to a workload, and that it is known before the tap is there."""

import pytest

from buoy.model.address import Mac, Prefix
from buoy.model.documents import path
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.guest import GuestConfig
from buoy.model.nodestate import Combination, GroupMember, GroupRules, PortGuard, Table
from buoy.model.workload import AddressPair
from buoy.planner.desired import Desired
from buoy.planner.policy import combination_id, link_local
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import HERE, MAC, SUBNET, THERE, UP, key, no_guest, node, only, port, snapshot, told_guest

OWN = (MAC, Prefix("192.0.2.1/32"))
OWN_LINK_LOCAL = (MAC, Prefix("fe80::f816:3eff:fe00:1/128"))
SSH = Rule(side=Side.INGRESS, family=4, protocol=6, first=22, last=22)
FROM_BLUE = Rule(side=Side.INGRESS, family=4, group="blue")
POLICY = (Table.GUARD, Table.COMBINATION, Table.GROUP, Table.MEMBER)


@pytest.mark.parametrize("links", [(), (UP,)])
def test_policy_is_wanted_whether_the_tap_is_there_or_not(links: tuple[()]) -> None:
    name = combination_id(("green", "red"))
    green = SecurityGroup(id="green", rules=(SSH,))
    assert {
        key(Table.GUARD, "tap1"): PortGuard(name, (OWN, OWN_LINK_LOCAL)),
        key(Table.COMBINATION, name): Combination(("green", "red")),
        key(Table.GROUP, "green"): GroupRules((SSH,)),
        key(Table.GROUP, "red"): GroupRules(()),
    } == only(node(port(groups=("red", "green")), green, links=links), *POLICY)


def test_a_port_without_groups_lets_nothing_pass() -> None:
    assert {
        key(Table.GUARD, "tap1"): PortGuard("none", (OWN, OWN_LINK_LOCAL)),
        key(Table.COMBINATION, "none"): Combination(()),
    } == only(node(port()), *POLICY)


def test_a_port_without_port_security_is_open() -> None:
    assert {key(Table.GUARD, "tap1"): PortGuard(None, ())} == only(node(port(port_security=False)), *POLICY)


def test_a_port_that_is_down_lets_nothing_pass_even_without_port_security() -> None:
    down = port(admin_up=False, port_security=False, groups=("red",))
    assert PortGuard("none", (OWN, OWN_LINK_LOCAL)) == node(down).state[key(Table.GUARD, "tap1")]


def test_allowed_pairs_may_be_sent_from_with_the_link_local_address_of_their_mac() -> None:
    pair = AddressPair(prefix=Prefix("203.0.113.0/24"), mac=Mac("fa:16:3e:00:00:02"))
    guard = node(port(pairs=(pair,))).state[key(Table.GUARD, "tap1")]
    other = (pair.mac, Prefix("fe80::f816:3eff:fe00:2/128"))
    assert PortGuard("none", (OWN, OWN_LINK_LOCAL, (pair.mac, pair.prefix), other)) == guard


def test_members_are_wanted_of_the_groups_that_rules_name() -> None:
    red = SecurityGroup(id="red", rules=(FROM_BLUE,))
    blue = Member(group="blue", prefix=Prefix("192.0.2.7/32"))
    green = Member(group="green", prefix=Prefix("192.0.2.8/32"))
    assert {key(Table.MEMBER, "blue", "192.0.2.7/32"): GroupMember()} == only(
        node(port(groups=("red",)), red, blue, green), Table.MEMBER
    )


def test_nothing_is_wanted_of_groups_that_only_other_nodes_use() -> None:
    assert {} == dict(node(port(node=THERE, groups=("red",)), SecurityGroup(id="red", rules=(SSH,))).state)


def test_members_that_were_there_before_come_with_the_first_rule_that_names_them() -> None:
    red, workload = SecurityGroup(id="red"), port(groups=("red",))
    member = Member(group="blue", prefix=Prefix("192.0.2.7/32"))
    desired = node(workload, red, member)
    naming = SecurityGroup(id="red", rules=(FROM_BLUE,))
    touched = desired.update(snapshot(workload, naming, member), frozenset({"groups/red"}), Sight({"tap1": UP}))
    assert frozenset({key(Table.GROUP, "red"), key(Table.MEMBER, "blue", "192.0.2.7/32")}) == touched.keys
    assert key(Table.MEMBER, "blue", "192.0.2.7/32") in desired.state
    desired.update(snapshot(workload, naming), frozenset({path(member)}), Sight({"tap1": UP}))
    assert {} == only(desired, Table.MEMBER)


def test_combinations_are_named_alike_whatever_the_order_and_fit_into_a_chain() -> None:
    names = [combination_id(("a", "b")), combination_id(("b", "a")), combination_id(tuple(map(str, range(99))))]
    assert names[0] == names[1]
    assert [16, 16, 16] == [len(name) for name in names]


def test_the_link_local_address_of_a_mac() -> None:
    assert "fe80::f816:3eff:fe4d:d525" == link_local(Mac("fa:16:3e:4d:d5:25"))


def test_a_guest_is_told_of_its_known_subnets_unless_its_port_is_down() -> None:
    desired = Desired(Here(HERE, told_guest))
    desired.update(snapshot(port(), SUBNET), None, Sight())
    told = GuestConfig(interface="tap1", mac=MAC, domain="s4")
    assert {key(Table.DHCP, "tap1"): told} == only(desired, Table.DHCP)
    desired.update(snapshot(port(admin_up=False), SUBNET), frozenset({f"workloads/{HERE}/port1"}), Sight())
    assert {} == only(desired, Table.DHCP)
    assert {} == only(Desired(Here(HERE, no_guest)), Table.DHCP)
