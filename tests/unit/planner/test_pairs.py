# SPDX-License-Identifier: Apache-2.0
"""An allowed address pair that is the fixed IP of a port on another node: its owner's alone, as long as it is."""

from buoy.model.address import Address, host_prefix
from buoy.model.nodestate import Key, Table
from buoy.model.reason import Reason
from buoy.model.workload import AddressPair
from buoy.planner.desired import Desired
from buoy.planner.sight import Sight
from tests.unit.planner.cloud import HERE, MAC, SUBNET, UP, node, port, snapshot

SHARED = Address("192.0.2.9")
OURS = port(pairs=(AddressPair(prefix=host_prefix(SHARED), mac=MAC),))
THEIRS = port(pairs=(AddressPair(prefix=host_prefix(SHARED), mac=MAC, owner="port2"),))


def led_here(desired: Desired) -> set[Table]:
    """Return what brings packets to the address here, and announces it."""
    keys = (Key(Table.ROUTE, (host_prefix(SHARED),)), Key(Table.ANNOUNCEMENT, (host_prefix(SHARED),)))
    return {key.table for key in keys if key in desired.state}


def test_it_is_routed_and_announced_only_while_it_is_nobodys_fixed_ip() -> None:
    desired, seen = node(OURS, SUBNET), [led_here(node(OURS, SUBNET))]
    for now in (THEIRS, OURS):
        desired.update(snapshot(now, SUBNET), frozenset({f"workloads/{HERE}/port1"}), Sight({"tap1": UP}))
        seen.append(led_here(desired))
    assert [{Table.ROUTE, Table.ANNOUNCEMENT}, set(), {Table.ROUTE, Table.ANNOUNCEMENT}] == seen


def test_the_port_that_asks_for_it_is_well_and_told_both_names() -> None:
    desired = node(THEIRS, SUBNET)
    withheld = desired.withheld[SHARED]
    assert (Reason.PAIR_OWNED, None) == (withheld.reason, desired.wanted_workload("port1").withheld)
    assert all(port in str(withheld) for port in ("port1", "port2"))
