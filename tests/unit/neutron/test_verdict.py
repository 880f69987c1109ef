# SPDX-License-Identifier: Apache-2.0
"""ACTIVE is said only of what a living node reported of the present wish."""

import msgspec
import pytest

from buoy.model.address import Address
from buoy.model.documents import Document, path
from buoy.model.node import Node
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.model.workload import Workload
from buoy.neutron.verdict import Touched, address_state, nodes, touched, workload_state

X = Address("192.0.2.1")
NODE = Node(name="c1")


def claim(*nodes: str) -> ServiceIP:
    """A claim with an endpoint on each node."""
    return ServiceIP(
        address=X, endpoints=tuple(Endpoint(workload=f"w{n}", target=Address("10.0.0.1"), node=n) for n in nodes)
    )


def said(node: str, state: State, revision: int = 5) -> AddressStatus:
    """A node's report about X."""
    return AddressStatus(node=node, address=X, state=state, revision=revision)


def snapshot(*documents: Document, revision: int = 5) -> Snapshot:
    """A store that holds these documents, all written at one revision."""
    held = {path(document): document for document in documents}
    return Snapshot(Identity("store", 9), held, dict.fromkeys(held, revision), {})


@pytest.mark.parametrize(
    ("expected", "documents"),
    [
        (State.DOWN, [claim()]),
        (State.DOWN, [claim("")]),
        (State.DOWN, [claim("c1"), NODE]),
        (State.ACTIVE, [claim("c1"), NODE, said("c1", State.ACTIVE)]),
        (State.DOWN, [claim("c1"), said("c1", State.ACTIVE)]),
        (State.DOWN, [claim("c1"), NODE, said("c1", State.ACTIVE, 4)]),
        (State.DOWN, [claim("c2"), NODE, said("c1", State.ACTIVE)]),
        (State.ERROR, [claim("c1", "c2"), NODE, said("c1", State.ERROR)]),
        (State.DOWN, [claim("c1", "c2"), NODE, said("c1", State.ACTIVE)]),
        (
            State.ACTIVE,
            [claim("c1", "c2"), NODE, Node(name="c2"), said("c1", State.ACTIVE), said("c2", State.ACTIVE, 6)],
        ),
    ],
)
def test_a_floating_ip_is(expected: State, documents: list[Document]) -> None:
    wish = documents[0]
    assert isinstance(wish, ServiceIP)
    assert expected == address_state(snapshot(*documents), wish)


@pytest.mark.parametrize(("alive", "expected"), [("c2", State.ACTIVE), ("c1", State.DOWN)])
def test_forwarded_ports_are_judged_by_the_one_node_that_announces_them(alive: str, expected: State) -> None:
    ports = {node: PortMapping(protocol="tcp", first=p, last=p, target_first=p) for node, p in (("c2", 80), ("c1", 90))}
    ends = [msgspec.structs.replace(end, mapping=ports[end.node]) for end in claim("c1", "c2").endpoints]
    wish = ServiceIP(address=X, endpoints=tuple(ends))
    assert expected == address_state(snapshot(wish, Node(name=alive), said("c2", State.ACTIVE)), wish)


def workload(revision: int) -> Workload:
    """A port on c1."""
    return Workload(id="w", node="c1", interface="tapw", mac="02:00:00:00:00:01", network="n", revision=revision)  # type: ignore[arg-type]


def test_a_port_is_what_was_said_of_its_present_document() -> None:
    report = WorkloadStatus(node="c1", workload="w", state=State.ACTIVE, revision=3)
    judged = [workload_state(snapshot(workload(r), report), "c1", "w") for r in (3, 4)]
    assert [State.ACTIVE, None] == judged
    assert None is workload_state(snapshot(report), "c1", "w")


def test_what_a_change_makes_worth_judging() -> None:
    held = snapshot(claim("c1"), NODE)
    cases: list[tuple[str, Touched]] = [
        ("nodes/c1", Touched(frozenset(), frozenset())),
        ("nodes/c9", Touched(frozenset(), frozenset())),
        (f"status/c1/address/{X}", Touched(frozenset({X}), frozenset())),
        ("status/c1/workload/w", Touched(frozenset(), frozenset({("c1", "w")}))),
        ("workloads/c1/w", Touched(frozenset(), frozenset({("c1", "w")}))),
    ]
    assert [expected for _, expected in cases] == [touched(Batch(held, frozenset({at})), {"c1"}) for at, _ in cases]
    assert Touched(frozenset({X}), frozenset()) == touched(Batch(held, None), {"c1"})


def test_a_node_makes_its_floating_ips_worth_judging_when_it_comes_or_goes() -> None:
    beat = frozenset({"nodes/c1"})
    came, went = Batch(snapshot(claim("c1"), NODE), beat), Batch(snapshot(claim("c1")), beat)
    judged = [touched(batch, alive).addresses for batch, alive in ((came, ()), (came, {"c1"}), (went, {"c1"}))]
    assert [{X}, set(), {X}] == judged
    assert [{"c1": NODE}, {"c1": None}] == [nodes(came, ()), nodes(went, {"c1"})]
    assert {"c1": None} == nodes(Batch(snapshot(claim("c1")), None), {"c1"})
