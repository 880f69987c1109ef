# SPDX-License-Identifier: Apache-2.0
"""What a change of a Service costs: the same among 100 Services and among 10,000."""

import msgspec

from buoy.model.address import Address, unpacked
from buoy.model.documents import Document, path
from buoy.model.proxied import Backing, Eligibility, Proxying, ProxyMode
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus
from buoy.planner.desired import Desired
from buoy.planner.sight import Sight, Stir
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import HERE, THERE, no_guest
from tests.unit.planner.cluster import EVERYWHERE, WEB, backing, balanced, pool, says, settings


class Node:
    """A node in a cluster with so many Services, each of Local policy, with an endpoint here and one leaving."""

    def __init__(self, size: int) -> None:
        self.documents: dict[str, Document] = {}
        self.proxying: dict[Address, Proxying] = {}
        self.put(settings(pool("198.18.0.0/15")))
        for eligibility in EVERYWHERE:
            self.put(eligibility)
        for number in range(size):
            self.put(service(number, backing(service=f"shop/{number}", local=True)))
            self.proxying[address(number)] = Proxying(frozenset({WEB}))
        self.desired = Desired(Here(HERE, no_guest))
        self.update(None)

    def put(self, document: Document) -> str:
        self.documents[path(document)] = document
        return path(document)

    def update(self, changed: frozenset[str] | None, *proxied: Address) -> int:
        """Return how many subjects are computed for a change."""
        before = self.desired.computed
        held = Snapshot(Identity("cluster", 1), self.documents, {}, {})
        sight = Sight({}, ProxyMode.NFTABLES, self.proxying)
        self.desired.update(held, changed, sight, Stir(proxied=frozenset(proxied)))
        return self.desired.computed - before

    def cost(self, *changed: Document) -> int:
        return self.update(frozenset(map(self.put, changed)))


def address(number: int) -> Address:
    return unpacked((0xC6120000 + number).to_bytes(4))


def service(number: int, *backings: Backing) -> ServiceIP:
    return msgspec.structs.replace(balanced(*backings), address=address(number))


def said(number: int) -> AddressStatus:
    return msgspec.structs.replace(says(THERE), address=address(number))


def costs(size: int) -> dict[str, int]:
    """Return how many subjects each kind of change computes on a node of this size."""
    node = Node(size)
    moving = backing(local=True, ready=(THERE,), draining=(HERE,))
    found = {
        "a Service comes": node.cost(service(size, backing())),
        "an endpoint moves": node.cost(service(3, moving)),
        "the node it moves to announces it": node.cost(said(3)),
        "another node speaks of what this one does not ask about": node.cost(said(4)),
        "another node is excluded": node.cost(Eligibility(node=THERE, excluded="it is labelled")),
    }
    node.proxying[address(5)] = Proxying()
    found["a port is forwarded no more"] = node.update(frozenset(), address(5))
    del node.documents[path(service(6))]
    return found | {"a Service goes": node.update(frozenset({path(service(6))}))}


def test_a_change_computes_as_many_subjects_among_100_services_as_among_10000() -> None:
    expected = {
        "a Service comes": 1,
        "an endpoint moves": 1,
        "the node it moves to announces it": 1,
        "another node speaks of what this one does not ask about": 0,
        "another node is excluded": 1,
        "a port is forwarded no more": 1,
        "a Service goes": 1,
    }
    assert expected == costs(100) == costs(10_000)
