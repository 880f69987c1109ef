# SPDX-License-Identifier: Apache-2.0
"""What is shown in Neutron, against a database that only remembers what it was told, and refuses what it is told to."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable

import pytest

from buoy.model.address import Address
from buoy.model.documents import Document, path
from buoy.model.node import Node
from buoy.model.service_ip import Endpoint, ServiceIP
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.model.workload import Workload
from buoy.neutron import status
from buoy.neutron.showing import Showing

NODE = Node(name="c1")
NOTHING: frozenset[str] = frozenset()
PATIENCE = 10


class Neutron:
    """What its database shows: floating IPs by address, ports by id, agents by host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, State] = {}
        self.alive: dict[str, bool] = {}
        self.written: list[str] = []
        self.touched: list[str] = []
        self.refuses: set[str] = set()
        monkeypatch.setattr(status, "unlike_ports", self._unlike_ports)
        monkeypatch.setattr(status, "unlike_floating_ips", self._unlike_floating_ips)
        monkeypatch.setattr(status, "write_port", lambda _, port, state: self._write(port, state))
        monkeypatch.setattr(status, "write_floating_ip", lambda claim, state: self._write(claim.address, state))
        monkeypatch.setattr(status, "write_agent", lambda node: self._agent(node.name, alive=True))
        monkeypatch.setattr(status, "bury_agent", lambda name: self._agent(name, alive=False))
        monkeypatch.setattr(status, "touch_agents", self._touch)

    def _unlike_ports(self, states: status.PortStates) -> dict[tuple[str, str], State]:
        return {(node, port): state for (node, port), state in states.items() if self.shown.get(port) != state}

    def _unlike_floating_ips(self, states: Iterable[tuple[ServiceIP, State]]) -> list[tuple[ServiceIP, State]]:
        return [(claim, state) for claim, state in states if self.shown.get(claim.address) != state]

    def _write(self, name: str, state: State) -> None:
        self._refuse(name)
        self.shown[name] = state

    def _agent(self, name: str, *, alive: bool) -> None:
        self._refuse(name)
        self.alive[name] = alive
        self.written.append(name)

    def _touch(self, hosts: Collection[str]) -> set[str]:
        self.touched += hosts
        return set(hosts) & self.alive.keys()

    def _refuse(self, name: str) -> None:
        if name in self.refuses:
            raise LookupError(f"somebody's driver minds {name}")


@pytest.fixture
def neutron(monkeypatch: pytest.MonkeyPatch) -> Neutron:
    return Neutron(monkeypatch)


def served(number: int) -> list[Document]:
    """A floating IP and the port behind it, both reported ACTIVE by c1."""
    address, port = Address(f"192.0.2.{number}"), f"port{number}"
    wish = Workload(id=port, node="c1", interface=f"tap{number}", mac="02:00:00:00:00:01", network="n")  # type: ignore[arg-type]
    endpoint = Endpoint(workload=port, target=Address("10.0.0.1"), node="c1")
    return [
        ServiceIP(address=address, id=f"fip{number}", endpoints=(endpoint,)),
        AddressStatus(node="c1", address=address, state=State.ACTIVE, revision=5),
        wish,
        WorkloadStatus(node="c1", workload=port, state=State.ACTIVE),
    ]


def held(*documents: Document) -> Snapshot:
    """A store that holds these documents, all written at revision 5."""
    by_path = {path(document): document for document in documents}
    return Snapshot(Identity("store", 9), by_path, dict.fromkeys(by_path, 5), {})


def everything(*documents: Document) -> Batch:
    """Their listing."""
    return Batch(held(*documents), None)


async def until(probe: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(PATIENCE * 100):
        if probe():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is not so")


class Saying:
    """A store that says one thing; nothing follows."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    async def watch(self, prefixes: Collection[str]) -> AsyncIterator[Batch]:
        assert prefixes
        yield self.batch


async def followed(*documents: Document) -> Showing:
    """A showing that has seen and shown a listing."""
    one = Showing()
    await one.follow(Saying(everything(*documents)))  # type: ignore[arg-type]
    return one


CROWD = (NODE, *served(1), *served(2), *served(3))
ACTIVE = {f"192.0.2.{n}": State.ACTIVE for n in (1, 2, 3)} | {f"port{n}": State.ACTIVE for n in (1, 2, 3)}


@pytest.mark.parametrize("name", sorted(ACTIVE))
async def test_one_that_is_refused_stops_no_other_and_is_named_and_shown_later(
    neutron: Neutron, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    neutron.refuses = {name}
    one = await followed(*CROWD)
    assert {each: state for each, state in ACTIVE.items() if each != name} == neutron.shown
    [told] = [record for record in caplog.records if record.levelno == logging.ERROR]
    place = f"service-ips/{name}" if "." in name else f"workloads/c1/{name}"
    assert (place in told.getMessage(), "somebody's driver minds" in told.getMessage()) == (True, True)
    await one.show_refused()
    assert name not in neutron.shown
    neutron.refuses = set()
    await one.show_refused()
    assert ACTIVE == neutron.shown


async def test_what_was_not_reached_is_tried_again_too(neutron: Neutron, monkeypatch: pytest.MonkeyPatch) -> None:
    neutron.refuses = {"192.0.2.1"}
    one = await followed(*CROWD)
    neutron.refuses = set()

    def away(_: object) -> list[tuple[ServiceIP, State]]:
        raise ConnectionError("the database is away")

    answers = status.unlike_floating_ips
    monkeypatch.setattr(status, "unlike_floating_ips", away)
    with pytest.raises(ConnectionError):
        await one.show_refused()
    monkeypatch.setattr(status, "unlike_floating_ips", answers)
    await one.show_refused()
    assert ACTIVE == neutron.shown


async def test_what_a_hand_undid_is_shown_when_everything_is_judged_again(neutron: Neutron) -> None:
    one = await followed(*CROWD)
    neutron.shown["port2"] = neutron.shown["192.0.2.3"] = State.DOWN
    await one.show(Batch(held(*CROWD), NOTHING))
    assert State.DOWN is neutron.shown["port2"]
    await one.show_all()
    assert ACTIVE == neutron.shown


async def test_what_neutron_touched_and_the_store_had_is_shown_again_and_what_is_on_its_way_is_not(
    neutron: Neutron,
) -> None:
    one = await followed(*CROWD)
    neutron.shown["192.0.2.1"] = neutron.shown["192.0.2.2"] = State.DOWN
    one.leave({"service-ips/192.0.2.1": 5, "service-ips/192.0.2.2": 6})
    await one.show_left()
    assert (State.ACTIVE, State.DOWN) == (neutron.shown["192.0.2.1"], neutron.shown["192.0.2.2"])
    neutron.shown["192.0.2.1"] = State.DOWN
    await one.show_left()
    assert State.DOWN is neutron.shown["192.0.2.1"], "it was shown once"


async def test_what_is_left_is_shown_once_it_can_be(neutron: Neutron, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await followed(*CROWD)
    neutron.shown["port2"] = State.DOWN
    answers = status.unlike_ports

    def away(_: object) -> dict[tuple[str, str], State]:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(status, "unlike_ports", away)
    one.leave({"workloads/c1/port2": 5})
    with pytest.raises(ConnectionError):
        await one.follow_left()
    monkeypatch.setattr(status, "unlike_ports", answers)
    following = asyncio.create_task(one.follow_left())
    await until(lambda: neutron.shown == ACTIVE)
    neutron.shown["port3"] = State.DOWN
    one.leave({"workloads/c1/port3": 5})
    await until(lambda: neutron.shown == ACTIVE)
    following.cancel()


async def test_neither_a_heartbeat_nor_who_drains_waits_for_a_status(
    neutron: Neutron, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await followed(*CROWD)
    begun, over = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        begun.set()
        over.wait()

    monkeypatch.setattr(status, "write_port", slow)
    neutron.shown["port1"] = State.DOWN
    showing = asyncio.create_task(one.show_all())
    try:
        await until(begun.is_set)
        one.leave({"workloads/c1/port2": 5})
        await asyncio.wait_for(one.beat(), PATIENCE)
        assert (["c1"], False) == (neutron.touched, showing.done())
    finally:
        over.set()
        await showing


async def test_the_end_of_a_lease_takes_a_floating_ip_down_and_buries_the_agent(neutron: Neutron) -> None:
    one = Showing()
    await one.show(everything(*CROWD))
    await one.show(Batch(held(*CROWD), frozenset({"nodes/c1"})))
    assert ({"c1": True}, State.ACTIVE) == (neutron.alive, neutron.shown["192.0.2.1"])
    await one.show(Batch(held(*CROWD[1:]), frozenset({"nodes/c1"})))
    assert ({"c1": False}, State.DOWN) == (neutron.alive, neutron.shown["192.0.2.1"])


async def test_a_dead_agent_is_buried_once_its_row_can_be_written(neutron: Neutron) -> None:
    one = await followed(NODE)
    neutron.refuses = {"c1"}
    await one.follow(Saying(Batch(held(), frozenset({"nodes/c1"}))))  # type: ignore[arg-type]
    assert {"c1": True} == neutron.alive
    neutron.refuses = set()
    await one.show_refused()
    assert {"c1": False} == neutron.alive


async def test_a_beat_writes_whole_rows_only_of_agents_with_news_or_without_a_row(neutron: Neutron) -> None:
    one = Showing()
    quiet, busy, lost = Node(name="quiet"), Node(name="busy"), Node(name="lost")
    await one.show(everything(quiet, busy, lost))
    neutron.written.clear()
    await one.beat()
    assert [] == neutron.written
    del neutron.alive["lost"]
    busier = Node(name="busy", workloads=1)
    await one.show(Batch(held(quiet, busier, lost), frozenset({"nodes/busy"})))
    await one.beat()
    assert ["busy", "lost"] == sorted(neutron.written)
    await one.beat()
    assert ["busy", "lost"] == sorted(neutron.written)
