"""The nft table: what it holds, who may touch it, and what happens when somebody does."""

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Change,
    Combination,
    Dnat,
    Egress,
    Entry,
    GroupMember,
    GroupRules,
    Internal,
    Key,
    Mapping,
    Phase,
    PortGuard,
    Relay,
    Step,
    Table,
)
from tests.netns.dataplane.place import says
from tests.netns.dataplane.world import World, failed, internal, policy

MAC, OTHER = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
RULES = (
    Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=90, prefix=Prefix("198.51.100.0/24")),
    Rule(side=Side.EGRESS, family=6, group="g2"),
    Rule(side=Side.INGRESS, family=6, protocol=58, first=128, last=0),
    Rule(side=Side.INGRESS, family=4, protocol=1, first=8),
    Rule(side=Side.INGRESS, family=4, protocol=112),
    Rule(side=Side.EGRESS, family=4, protocol=132, first=7),
)
EVERYTHING: dict[Key, Entry] = {
    Key(Table.GROUP, ("g1",)): GroupRules(RULES),
    Key(Table.GROUP, ("g 2/ä_",)): GroupRules(()),
    Key(Table.COMBINATION, ("c1",)): Combination(("g1", "g 2/ä_")),
    Key(Table.COMBINATION, ("none",)): Combination(()),
    Key(Table.MEMBER, ("g2", "198.51.100.7/32")): GroupMember(),
    Key(Table.MEMBER, ("g2", "2001:db8::7/128")): GroupMember(),
    Key(Table.MEMBER, ("g2", "198.51.100.0/25")): GroupMember(),
    Key(Table.MEMBER, ("g2", "2001:db8::/64")): GroupMember(),
    Key(Table.GUARD, ("tap1",)): PortGuard(
        "c1",
        (
            (MAC, Prefix("192.0.2.0/26")),
            (MAC, Prefix("192.0.2.1/32")),
            (MAC, Prefix("2001:db8:2::/64")),
            (MAC, Prefix("2001:db8:2::1/128")),
            (OTHER, Prefix("192.0.2.0/26")),
        ),
    ),
    Key(Table.GUARD, ("tap2",)): PortGuard(None, ()),
    Key(Table.GUARD, ("tap3",)): PortGuard("none", ((MAC, Prefix("0.0.0.0/0")), (MAC, Prefix("::/0")))),
    Key(Table.INTERNAL, ("192.0.2.0/25",)): Internal(),
    Key(Table.INTERNAL, ("192.0.2.128/25",)): Internal(),
    Key(Table.INTERNAL, ("2001:db8:2::/48",)): Internal(),
    Key(Table.INTERNAL, ("240.0.0.0/4",)): Internal(),
    Key(Table.RELAY, ("203.0.113.1", "192.0.2.9")): Relay(),
    Key(Table.RELAY, ("2001:db8:113::1", "2001:db8:2::9")): Relay(),
    Key(Table.MAPPING, ("203.0.113.1", "tcp", "80")): Mapping(Address("192.0.2.1"), 8080),
    Key(Table.MAPPING, ("2001:db8:113::1", "udp", "53")): Mapping(Address("2001:db8:2::1"), 5353),
    Key(Table.DNAT, ("203.0.113.2",)): Dnat(Address("192.0.2.1")),
    Key(Table.DNAT, ("2001:db8:113::2",)): Dnat(Address("2001:db8:2::1")),
    Key(Table.EGRESS, ("192.0.2.1",)): Egress(Address("203.0.113.2")),
    Key(Table.EGRESS, ("2001:db8:2::1",)): Egress(Address("2001:db8:113::2")),
}


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


@pytest.mark.parametrize(("command", "key"), [
    ("delete element inet buoy fip4 { 203.0.113.2 }", Key(Table.DNAT, ("203.0.113.2",))),
    ('delete element inet buoy to_guest { "tap1" }', Key(Table.GUARD, ("tap1",))),
    ("delete element inet buoy internal4 { 240.0.0.0/4 }", Key(Table.INTERNAL, ("240.0.0.0/4",))),
    ("flush chain inet buoy gi-g1", Key(Table.GROUP, ("g1",))),
    ("flush chain inet buoy ce-c1", Key(Table.COMBINATION, ("c1",))),
    ("add element inet buoy m4-g2 { 198.51.100.99 }", Key(Table.MEMBER, ("g2", "198.51.100.99/32"))),
])  # fmt: skip
def test_damage_by_hand_is_told_and_repaired(world: World, command: str, key: Key) -> None:
    world.wish(EVERYTHING)
    assert frozenset() == world.host.disturbances().keys
    world.node.exec("nft", command)
    assert frozenset({key}) == world.host.disturbances().keys
    assert EVERYTHING.get(key) != world.host.observe([key]).get(key)
    failures = world.wish({key: EVERYTHING[key]}) if key in EVERYTHING else world.unwish([key])
    assert [] == failures
    assert EVERYTHING == world.host.observe(None)


@pytest.mark.parametrize("command", ["delete table inet buoy", "flush ruleset"])
def test_the_table_deleted_by_hand_comes_back_and_all_that_was_in_it_is_told(world: World, command: str) -> None:
    world.wish(EVERYTHING)
    world.host.disturbances()
    world.node.exec("nft", command)
    told = world.host.disturbances()
    assert EVERYTHING.keys() == told.keys
    assert (1, {}) == (world.host.restored, world.host.observe(None))
    assert [] == world.wish(EVERYTHING)
    assert EVERYTHING == world.host.observe(None)


def test_a_table_that_somebody_owns_is_refused_and_comes_back_when_the_owner_ends(world: World) -> None:
    world.wish(EVERYTHING)
    world.host.disturbances()
    with owner(world):
        assert EVERYTHING.keys() == world.host.disturbances().keys
        assert {} == world.host.observe(None)
        failures = world.wish(EVERYTHING)
        assert (EVERYTHING.keys(), True) == (
            {failed(each) for each in failures},
            all("not permitted" in each.error and "\n" not in each.error for each in failures),
        )
    # nobody tells of this deletion: the kernel does it when the owner's socket ends
    assert EVERYTHING.keys() == {failed(each) for each in world.wish(EVERYTHING)}
    world.host.disturbances()
    assert [] == world.wish(EVERYTHING)
    assert EVERYTHING == world.host.observe(None)


@contextlib.contextmanager
def owner(world: World) -> Iterator[None]:
    """Put a table of the same name in our table's place, owned by a process of another's."""
    command = ["ip", "netns", "exec", world.node.name, "nft", "-i"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("delete table inet buoy; add table inet buoy { flags owner; }\nlist tables inet\n")
        process.stdin.flush()
        try:
            assert "table inet buoy" in process.stdout.readline().removeprefix("nft> ")
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    "command", ["flush chain inet buoy postrouting_nat", "delete chain inet buoy prerouting_policy"]
)
def test_a_static_chain_damaged_by_hand_is_whole_again(world: World, command: str) -> None:
    world.wish(EVERYTHING)
    world.host.disturbances()
    before = world.node.exec("nft", "list", "table", "inet", "buoy")
    world.node.exec("nft", command)
    world.host.disturbances()
    assert sorted(before.splitlines()) == sorted(world.node.exec("nft", "list", "table", "inet", "buoy").splitlines())
    assert EVERYTHING == world.host.observe(None)


def test_a_tap_declared_foreign_by_hand_is_judged_again(world: World) -> None:
    world.node.exec("nft", "add element inet buoy foreign { tap1 }")
    world.host.disturbances()
    assert (1, False) == (world.host.restored, "tap1" in world.node.exec("nft", "list set inet buoy foreign"))


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
