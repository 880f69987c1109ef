"""What the worker shows in Neutron, against a database that only remembers what it was told."""

from typing import Any

import pytest

from buoy.model.address import Address
from buoy.model.documents import Document, path
from buoy.model.node import Node
from buoy.model.service_ip import Endpoint, ServiceIP
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.neutron import status, worker
from buoy.neutron.worker import Worker

X = Address("192.0.2.1")
NODE = Node(name="c1")
CLAIM = ServiceIP(address=X, id="fip", endpoints=(Endpoint(workload="w", target=Address("10.0.0.1"), node="c1"),))
SAID = AddressStatus(node="c1", address=X, state=State.ACTIVE, revision=5)


class Neutron:
    """What was shown, and whether the database answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[State] = []
        self.buried: list[str] = []
        self.away = False
        monkeypatch.setattr(worker, "_write", lambda _, floating: self.shown.extend(state for _, state in floating))
        monkeypatch.setattr(status, "write_agent", lambda _: None)
        monkeypatch.setattr(status, "bury_agent", self._bury)

    def _bury(self, name: str) -> None:
        if self.away:
            raise ConnectionError("the database is away")
        self.buried.append(name)


@pytest.fixture
def neutron(monkeypatch: pytest.MonkeyPatch) -> Neutron:
    return Neutron(monkeypatch)


def batch(*documents: Document, changed: frozenset[str] | None = None) -> Batch:
    """A store that holds these documents, all written at revision 5."""
    held = {path(document): document for document in documents}
    return Batch(Snapshot(Identity("store", 9), held, dict.fromkeys(held, 5), {}), changed)


async def listed(*documents: Document) -> Any:  # noqa: ANN401  tests look inside
    """A worker that has shown a listing."""
    one: Any = Worker(None)
    one._snapshot = batch(*documents).snapshot
    await one._show_batch(batch(*documents))
    return one


async def test_what_neutron_touched_and_the_store_had_is_shown_again(neutron: Neutron) -> None:
    one = await listed(CLAIM, NODE, SAID)
    one._unchanged.update({f"service-ips/{X}": 5})
    await one._show_unchanged()
    await one._show_unchanged()
    assert [State.ACTIVE, State.ACTIVE] == neutron.shown


async def test_what_is_still_on_its_way_is_left_to_its_event(neutron: Neutron) -> None:
    one = await listed(CLAIM, NODE, SAID)
    one._unchanged.update({f"service-ips/{X}": 6})
    await one._show_unchanged()
    assert [State.ACTIVE] == neutron.shown


async def test_a_heartbeat_shows_no_floating_ip_and_the_end_of_a_lease_does(neutron: Neutron) -> None:
    one = await listed(CLAIM, NODE, SAID)
    await one._show_batch(batch(CLAIM, NODE, SAID, changed=frozenset({"nodes/c1"})))
    assert [State.ACTIVE] == neutron.shown
    await one._show_batch(batch(CLAIM, SAID, changed=frozenset({"nodes/c1"})))
    assert ([State.ACTIVE, State.DOWN], ["c1"]) == (neutron.shown, neutron.buried)


async def test_a_dead_agent_is_buried_once_the_database_is_back(neutron: Neutron) -> None:
    one = await listed(NODE)
    neutron.away = True
    with pytest.raises(ConnectionError):
        await one._show_batch(batch(changed=frozenset({"nodes/c1"})))
    neutron.away = False
    await one._show_batch(batch())
    assert ["c1"] == neutron.buried
