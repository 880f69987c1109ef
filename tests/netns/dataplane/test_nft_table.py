# SPDX-License-Identifier: Apache-2.0
"""The nft table: what it holds, how it changes, and whom it leaves alone."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Change,
    Combination,
    Dnat,
    Entry,
    GroupRules,
    Key,
    Mapping,
    Phase,
    PortGuard,
    Step,
    Table,
)
from tests.netns.dataplane.everything import EVERYTHING, RULES
from tests.netns.dataplane.place import says
from tests.netns.dataplane.world import World, failed, internal, policy

MAC, OTHER = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")


def test_everything_is_seen_as_it_was_wished_also_by_a_stranger(world: World) -> None:
    assert [] == world.wish(EVERYTHING)
    stranger = world.fresh_host()
    seen = stranger.observe(None)
    stranger.close()
    assert EVERYTHING == world.host.observe(EVERYTHING) == world.host.observe(None)
    # a group that only has members has chains of its own once its document comes
    assert EVERYTHING == seen


def test_everything_goes_without_a_trace(world: World) -> None:
    world.wish(EVERYTHING)
    assert [] == world.unwish(EVERYTHING)
    assert {} == world.host.observe(None)
    listing = world.node.exec("nft", "list", "table", "inet", "buoy")
    assert "elements" not in listing
    left = [line.split()[1] for line in listing.splitlines() if line.split()[:1] in (["chain"], ["set"])]
    assert [] == [name for name in left if "-" in name]


@pytest.mark.parametrize(("key", "after"), [
    (Key(Table.GUARD, ("tap1",)), PortGuard("none", ((OTHER, Prefix("192.0.2.0/24")),))),
    (Key(Table.GUARD, ("tap1",)), PortGuard(None, ())),
    (Key(Table.DNAT, ("203.0.113.2",)), Dnat(Address("192.0.2.2"))),
    (Key(Table.GROUP, ("g1",)), GroupRules(RULES[1:])),
    (Key(Table.COMBINATION, ("c1",)), Combination(("g1",))),
    (Key(Table.MAPPING, ("203.0.113.1", "tcp", "80")), Mapping(Address("192.0.2.3"), 8081)),
])  # fmt: skip
def test_an_entry_changes_in_place(world: World, key: Key, after: Entry) -> None:
    world.wish(EVERYTHING)
    assert [] == world.wish({key: after})
    assert EVERYTHING | {key: after} == world.host.observe(None)


def test_nested_prefixes_are_one_interval_and_come_apart_again(world: World) -> None:
    wide, inner, innermost = (internal(prefix) for prefix in ("192.0.2.0/24", "192.0.2.0/25", "192.0.2.64/26"))
    assert [] == world.wish(inner, innermost, wide)
    assert wide | inner | innermost == world.host.observe(None)
    assert "192.0.2.0/24 }" in world.node.exec("nft", "list", "set", "inet", "buoy", "internal4")
    assert [] == world.unwish(wide)
    assert inner | innermost == world.host.observe(None)
    assert "192.0.2.0/25 }" in world.node.exec("nft", "list", "set", "inet", "buoy", "internal4")


def test_one_bad_entry_stops_no_other(world: World) -> None:
    good, bad = Key(Table.GROUP, ("good",)), Key(Table.GROUP, ("bad",))
    tap, long = Key(Table.GUARD, ("tap1",)), Key(Table.GUARD, ("a-name-too-long-for-a-tap",))
    nowhere = Key(Table.GUARD, ("tap2",))
    failures = world.wish(
        {
            good: GroupRules(RULES),
            bad: GroupRules((Rule(side=Side.INGRESS, family=4, protocol=17, first=70000),)),
            tap: PortGuard(None, ()),
            long: PortGuard(None, ()),
            nowhere: PortGuard("no-such-combination", ()),
        }
    )
    assert {bad, long, nowhere} == {failed(failure) for failure in failures}
    assert {good: GroupRules(RULES), tap: PortGuard(None, ())} == world.host.observe(None)


def test_removing_what_is_not_there_and_adding_what_is_are_successes(world: World) -> None:
    key = Key(Table.DNAT, ("203.0.113.2",))
    entry = Dnat(Address("192.0.2.1"))
    add, remove = Change(key, None, entry), Change(key, entry, None)
    world.node.exec("nft", "add element inet buoy fip4 { 203.0.113.2 : 192.0.2.1 }")
    assert [] == world.host.apply([Step(Phase.BUILD, add), Step(Phase.BUILD, add)])
    world.node.exec("nft", "delete element inet buoy fip4 { 203.0.113.2 }")
    assert [] == world.host.apply([Step(Phase.SWEEP, remove)])
    assert [] == world.host.apply([Step(Phase.SWEEP, remove)])


def test_a_set_of_a_strangers_in_our_table_is_none_of_ours(world: World) -> None:
    world.node.exec("nft", "add set inet buoy fip_other { type ifname; }")
    world.host.disturbances()
    world.node.exec("nft", "add element inet buoy fip_other { eth0 }")
    assert frozenset() == world.host.disturbances().keys
    assert {} == world.host.observe(None)


def test_a_stranger_finds_a_damaged_static_chain_whole_when_it_comes(world: World) -> None:
    world.wish(EVERYTHING)
    before = world.node.exec("nft", "list", "chain", "inet", "buoy", "prerouting_policy")
    world.node.exec("nft", "flush", "chain", "inet", "buoy", "prerouting_policy")
    world.fresh_host().close()
    assert before == world.node.exec("nft", "list", "chain", "inet", "buoy", "prerouting_policy")


def test_other_tables_are_untouched(world: World) -> None:
    world.node.exec(
        "nft", "-f", "-", text="table inet other { set s { type ipv4_addr; elements = { 192.0.2.1 }; }; }\n"
    )
    before = world.node.exec("nft", "list", "table", "inet", "other")
    world.wish(EVERYTHING)
    world.host.disturbances()
    world.node.exec("nft", "add element inet other s { 192.0.2.2 }")
    assert frozenset() == world.host.disturbances().keys
    world.unwish(EVERYTHING)
    world.node.exec("nft", "delete element inet other s { 192.0.2.2 }")
    assert before == world.node.exec("nft", "list", "table", "inet", "other")


def test_a_restart_interrupts_no_flow(world: World) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes(), guest.floating("203.0.113.1"))
    server, client = guest.place.socket(2, port=5000), world.outside.socket(2)
    assert says(client, server, ("203.0.113.1", 5000))
    with world.node.watching("route") as told:
        again = world.fresh_host()
        again.observe(None)
        again.close()
    assert [] == told
    assert says(client, server, ("203.0.113.1", 5000))


def test_ten_thousand_elements(world: World) -> None:
    wishes: dict[Key, Entry] = {}
    for number in range(10_000):
        fixed, service = f"10.0.{number // 256}.{number % 256}", f"10.1.{number // 256}.{number % 256}"
        wishes[Key(Table.DNAT, (service,))] = Dnat(Address(fixed))
    assert [] == world.wish(wishes)
    assert wishes == world.host.observe(None)
    key = Key(Table.DNAT, ("10.1.7.7",))
    before = world.host.messages
    world.wish({key: Dnat(Address("192.0.2.1"))})
    assert 4 == world.host.messages - before
    assert [] == world.unwish(wishes)
    assert {} == world.host.observe(None)


def test_uninstalled_nothing_of_ours_is_left(world: World) -> None:
    guest = world.guest(1)
    wishes = EVERYTHING | policy() | guest.wishes()
    assert "fwmark 0x205" in world.node.ip("rule")
    world.wish(wishes)
    world.unwish(world.host.observe(None))
    world.host.remove()
    assert "" == world.node.exec("nft", "list", "ruleset")
    assert "fwmark" not in world.node.ip("rule")
    assert "" == world.node.ip("route", "show", "table", "all", "proto", "205")
    world.host.close()
    world.host = world.fresh_host()
    assert {} == world.host.observe(None)


def test_the_sets_of_a_group_that_only_a_rule_named_go_with_the_rule(world: World) -> None:
    rules = GroupRules((Rule(side=Side.INGRESS, family=4, group="named"),))
    key = Key(Table.GROUP, ("web",))
    for after in (GroupRules(()), None):
        world.wish({key: rules})
        assert "m4-named" in world.node.exec("nft", "list", "sets")
        world.unwish([key]) if after is None else world.wish({key: after})
        assert "m4-named" not in world.node.exec("nft", "list", "sets")
