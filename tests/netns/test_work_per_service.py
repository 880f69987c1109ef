# SPDX-License-Identifier: Apache-2.0
"""One change of a Service costs an agent the same work in a cluster of 100 as in one of 5,000: counted, not timed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import kubernetes_node
from bench.kubernetes_node import Cluster, endpoints, no_service, service
from bench.node import CrowdedNode, Work
from buoy.model.proxied import ProxyMode
from buoy.model.reason import Reason
from buoy.model.status import AddressStatus, State
from tests.netns.dataplane.place import Place, entered, remove_all

FEW, MANY = 100, 5_000
NUMBER = MANY + 7
"""A Service that is in neither cluster, in both the same, so that the bytes about it are as many."""

Done = dict[str, Work]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Done]]:
    """What the same changes cost in a small and then in a large cluster, each on a node of its own."""
    prefix = f"wps{os.getpid()}"
    found = {}
    try:
        for count in (FEW, MANY):
            place = Place(f"{prefix}-{count}")
            place.exec("nft", "-f", "-", text=kubernetes_node.tables(range(count)))
            with entered(place.path):
                found[count] = asyncio.run(changes(place, count, tmp_path_factory.mktemp("node")))
        yield found
    finally:
        remove_all(prefix)


async def changes(place: Place, count: int, directory: Path) -> Done:
    """Do one change of each kind in a cluster of so many Services already; return what each cost."""
    node = CrowdedNode(count, directory, Cluster(kubernetes_node.objects(count)), ProxyMode.NFTABLES)
    await node.start()
    assert node.agent.last
    assert () == node.agent.last.wrong
    done = {"it is created": await node.change(endpoints(NUMBER), service(NUMBER, "Local"), count_calls=True)}
    assert (State.DOWN, Reason.NOT_PROXIED_YET) == said(node)
    place.exec("nft", "-f", "-", text=kubernetes_node.forward(NUMBER))
    done["kube-proxy forwards it"] = await node.change(count_calls=True)
    assert (State.ACTIVE, None) == said(node)
    done["its endpoint is not ready"] = await node.change(endpoints(NUMBER, ready=False), count_calls=True)
    assert None is said(node)
    done["it is ready"] = await node.change(endpoints(NUMBER), count_calls=True)
    assert (State.ACTIVE, None) == said(node)
    place.exec("nft", "-f", "-", text=kubernetes_node.forward_no_more(NUMBER))
    done["kube-proxy forwards it no more"] = await node.change(count_calls=True)
    done["it is deleted"] = await node.change(no_service(NUMBER), count_calls=True)
    assert None is said(node)
    await node.stop()
    return done


def said(node: CrowdedNode) -> tuple[State, Reason | None] | None:
    """Return what the agent last said of the Service's address."""
    status = node.status(kubernetes_node.address(NUMBER))
    if not isinstance(status, AddressStatus):
        return None
    return status.state, status.reason


def test_subjects_bytes_netlink_messages_and_api_writes_of_a_change_do_not_grow_with_the_cluster(
    done: dict[int, Done],
) -> None:
    few, many = (
        {name: (work.subjects, work.writes, work.bytes, work.messages) for name, work in done[count].items()}
        for count in (FEW, MANY)
    )
    assert few == many


def test_nor_do_the_calls_of_functions(done: dict[int, Done]) -> None:
    # a loop over the cluster would make thousands; a collision of hashes may make a few
    assert [] == [name for name, work in done[MANY].items() if not 0 < work.calls <= 1.2 * done[FEW][name].calls]


def test_a_change_writes_one_small_status_and_sends_a_handful_of_messages(done: dict[int, Done]) -> None:
    assert {1} == {work.writes for work in done[MANY].values()}
    assert [] == [work for work in done[MANY].values() if work.bytes > 500 or work.messages > 8]
