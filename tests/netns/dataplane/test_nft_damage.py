# SPDX-License-Identifier: Apache-2.0
"""What another hand does to the nft table is told, repaired, and counted."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from buoy.model.nodestate import (
    Key,
    Table,
)
from buoy.render.nft_skeleton import CHAINS
from tests.netns.dataplane.everything import EVERYTHING
from tests.netns.dataplane.world import World, failed, internal


@pytest.mark.parametrize(("command", "key"), [
    ("delete element inet buoy fip4 { 203.0.113.2 }", Key(Table.DNAT, ("203.0.113.2",))),
    ('delete element inet buoy to_guest { "tap1" }', Key(Table.GUARD, ("tap1",))),
    ("delete element inet buoy internal4 { 240.0.0.0/4 }", Key(Table.INTERNAL, ("240.0.0.0/4",))),
    ("delete element inet buoy stray4 { 203.0.113.5 }", Key(Table.STRAY, ("203.0.113.5/32",))),
    ("delete element inet buoy straynet6 { 2001:db8:113::/48 }", Key(Table.STRAY, ("2001:db8:113::/48",))),
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


def test_a_prefix_inside_another_is_told_too_when_its_set_is_gone(world: World) -> None:
    both = internal("192.0.2.0/24", "192.0.2.128/25")
    world.wish(both)
    world.host.disturbances()
    world.node.exec("nft", "delete table inet buoy")
    assert both.keys() == world.host.disturbances().keys
    assert [] == world.wish(both)
    assert both == world.host.observe(None)


def test_names_of_what_is_gone_are_not_kept(world: World) -> None:
    world.wish(EVERYTHING)
    assert [] == world.unwish(EVERYTHING)
    nft = world.host._nft
    assert ({}, {}, {}) == (nft._table._guards, nft._commit.wished, nft._remembered)
    world.wish(EVERYTHING)
    world.node.exec("nft", "delete table inet buoy")
    world.host.disturbances()
    assert ({}, {}) == (nft._table._guards, nft._commit.wished)


def test_a_table_that_somebody_owns_is_refused_and_comes_back_when_the_owner_ends(world: World) -> None:
    world.wish(EVERYTHING)
    world.host.disturbances()
    with owner(world):
        assert EVERYTHING.keys() == world.host.disturbances().keys
        assert {} == world.host.observe(None)
        failures = world.wish(EVERYTHING)
        assert set(EVERYTHING) == {failed(each) for each in failures}
        assert all("not permitted" in each.error and "\n" not in each.error for each in failures)
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
    assert _sorted(before) == _sorted(world.node.exec("nft", "list", "table", "inet", "buoy"))
    assert EVERYTHING == world.host.observe(None)


BASE_CHAINS = [*(f"inet buoy {name}" for name, (hook, _) in CHAINS.items() if hook), "arp buoy input"]


@pytest.mark.parametrize("chain", BASE_CHAINS)
def test_a_base_chain_that_another_made_drop_accepts_again(world: World, chain: str) -> None:
    before = world.node.exec("nft", "list", "ruleset")
    world.node.exec("nft", f"chain {chain} {{ policy drop; }}")
    assert "policy drop" in world.node.exec("nft", "list", "ruleset")
    assert 1 == world.host.disturbances().restored
    assert _sorted(before) == _sorted(world.node.exec("nft", "list", "ruleset"))


@pytest.mark.parametrize("chain", ["inet buoy forward_stray", "arp buoy input"])
def test_a_fresh_host_lets_a_base_chain_accept_that_was_made_drop_meanwhile(world: World, chain: str) -> None:
    world.node.exec("nft", f"chain {chain} {{ policy drop; }}")
    world.fresh_host().close()
    assert "policy drop" not in world.node.exec("nft", "list", "ruleset")


@pytest.mark.parametrize(
    "command",
    [
        "chain inet buoy forward_stray { policy drop; }",
        "chain arp buoy input { policy drop; }",
        "flush chain arp buoy input",
        "delete table arp buoy",
        "delete chain inet buoy input_policy; add chain inet buoy input_policy { type filter hook input priority 9; }",
    ],
)
def test_damage_to_static_chains_that_nobody_told_is_found_when_all_is_read_afresh(world: World, command: str) -> None:
    before = world.node.exec("nft", "list", "ruleset")
    world.node.exec("nft", command)
    world.host._nft.monitor.drain()
    assert 0 == world.host.disturbances().restored
    world.host._nft.reread()
    assert 1 == world.host.disturbances().restored
    assert _sorted(before) == _sorted(world.node.exec("nft", "list", "ruleset"))
    world.host._nft.reread()
    assert 0 == world.host.disturbances().restored


def _sorted(listing: str) -> list[str]:
    """Return the lines of a listing in an order that does not tell what was made first."""
    return sorted(listing.splitlines())


def test_whoever_only_looks_sees_the_damage_and_leaves_it(world: World) -> None:
    world.wish(EVERYTHING)
    world.node.exec("nft", "flush chain inet buoy postrouting_nat; delete chain inet buoy prerouting_policy")
    damaged = world.node.exec("nft", "list", "ruleset")
    assert EVERYTHING == world.host.observe(EVERYTHING) == world.host.observe(None)
    assert damaged == world.node.exec("nft", "list", "ruleset")
    world.node.exec("nft", "delete table inet buoy")
    assert {} == world.host.observe(EVERYTHING) == world.host.observe(None)
    assert "inet buoy" not in world.node.exec("nft", "list", "tables")
    told = world.host.disturbances()
    assert (frozenset(EVERYTHING), 1) == (told.keys, told.restored)
    assert "inet buoy" in world.node.exec("nft", "list", "tables")


def test_a_tap_declared_foreign_while_notifications_were_lost_is_judged_again(world: World) -> None:
    listening = socket.socket(fileno=socket.dup(world.host.filenos()[1]))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    elements = ", ".join(f"10.9.{number // 256}.{number % 256} : 192.0.2.1" for number in range(3000))
    world.node.exec("nft", "-f", "-", text=f"add element inet buoy fip4 {{ {elements} }}\n")
    world.node.exec("nft", "add element inet buoy foreign { tap1 }")
    assert world.host.disturbances().overrun
    listening.close()
    assert (1, False) == (world.host.restored, "tap1" in world.node.exec("nft", "list set inet buoy foreign"))


def test_a_tap_declared_foreign_by_hand_is_judged_again(world: World) -> None:
    world.node.exec("nft", "add element inet buoy foreign { tap1 }")
    world.host.disturbances()
    assert (1, False) == (world.host.restored, "tap1" in world.node.exec("nft", "list set inet buoy foreign"))
