# SPDX-License-Identifier: Apache-2.0
"""One change costs the same work on a node with 100 service IPs as on one with 10,000: counted, not timed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench import crowd
from bench.node import NODE, CrowdedNode, Work
from buoy.model.address import Address
from buoy.model.group import Rule, SecurityGroup, Side
from buoy.model.status import AddressStatus, State
from tests.netns.dataplane.place import Place, entered, remove_all, run

FEW, MANY = 100, 10_000
NUMBER = MANY + 7
"""A service IP that neither node has, in both the same, so that the bytes about it are as many."""

OWN = SecurityGroup(id="own", rules=(Rule(side=Side.INGRESS, family=4, protocol=17),))
"""A group of one port only, whatever the size of the node."""

Done = dict[str, Work]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Done]]:
    """What the same changes cost on a small and then on a large node, in one namespace."""
    prefix = f"wpc{os.getpid()}"
    found = {}
    try:
        place = Place(f"{prefix}-node")
        for count in (FEW, MANY):
            with entered(place.path):
                plug(place, count)
                found[count] = asyncio.run(changes(count, tmp_path_factory.mktemp("node")))
        yield found
    finally:
        remove_all(prefix)


def plug(place: Place, count: int) -> None:
    """Make the taps of a node, and leave those that are there."""
    have = place.ip("-o", "link")
    missing = [name for name in map(crowd.tap, range(crowd.ports(count))) if name not in have]
    lines = (f"link add {name} type veth peer name g{name[3:]}\nlink set {name} up\n" for name in missing)
    run("ip", "-n", place.name, "-batch", "-", text="".join(lines))


async def changes(count: int, directory: Path) -> Done:
    """Do one change of each kind on a node that holds so many service IPs already; return what each cost."""
    node = CrowdedNode(count, directory)
    await node.start()
    assert node.agent.last
    assert () == node.agent.last.wrong
    here, there, port = crowd.spare(count), crowd.spare(count, 1), crowd.ports(count) - 1
    done = {"associate": await node.change(crowd.associated(NUMBER, here, NODE), count_calls=True)}
    assert State.ACTIVE is _state(node)
    done["move to another port"] = await node.change(crowd.associated(NUMBER, there, NODE), count_calls=True)
    assert State.ACTIVE is _state(node)
    done["leave to another node"] = await node.change(crowd.associated(NUMBER, there, "compute-2"), count_calls=True)
    done["come from another node"] = await node.change(crowd.associated(NUMBER, here, NODE), count_calls=True)
    assert State.ACTIVE is _state(node)
    await node.change(OWN, msgspec.structs.replace(crowd.workload(port, NODE), groups=("own", "web")))
    done["a rule goes"] = await node.change(SecurityGroup(id="own"), count_calls=True)
    done["disassociate"] = await node.change(crowd.unbound(NUMBER), count_calls=True)
    assert None is _state(node)
    await node.stop()
    return done


def _state(node: CrowdedNode) -> State | None:
    said = node.status(Address(crowd.service(NUMBER)))
    return said.state if isinstance(said, AddressStatus) else None


def test_subjects_bytes_and_netlink_messages_of_a_change_do_not_grow_with_the_node(done: dict[int, Done]) -> None:
    few, many = (
        {name: (work.subjects, work.writes, work.bytes, work.messages) for name, work in done[count].items()}
        for count in (FEW, MANY)
    )
    assert few == many


def test_nor_do_the_calls_of_functions(done: dict[int, Done]) -> None:
    # a loop over the node would make ten thousand; a collision of hashes may make a few
    assert [] == [name for name, work in done[MANY].items() if not 0 < work.calls <= 1.2 * done[FEW][name].calls]


def test_a_change_computes_one_subject_and_writes_one_small_document(done: dict[int, Done]) -> None:
    costs = [work for name, work in done[MANY].items() if name != "a rule goes"]
    assert {(1, 1)} == {(work.subjects, work.writes) for work in costs}
    assert [] == [work for work in costs if work.bytes > 300 or work.messages > 20]
