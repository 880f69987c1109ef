# SPDX-License-Identifier: Apache-2.0
"""From what nodes report to what Neutron shows. Pure: snapshot in, states out.

Promises: ACTIVE is said only if the node that should serve a thing is alive and
reported it after the wish last changed; everything else is DOWN, or ERROR where
a node says that a person is needed.
"""

from collections.abc import Collection, Iterable

import msgspec

from buoy.model.address import Address
from buoy.model.node import Node
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Batch, Snapshot
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.model.workload import Workload
from buoy.planner.placement import serving

PREFIXES = ("service-ips/", "workloads/", "nodes/", "status/")
"""What has to be watched to judge."""

_NODES = "nodes/"


class Touched(msgspec.Struct, frozen=True):
    """What a batch makes worth judging again."""

    addresses: frozenset[Address]
    workloads: frozenset[tuple[str, str]]
    """Node and workload id."""


def nodes(batch: Batch, alive: Collection[str]) -> dict[str, Node | None]:
    """Return the nodes a batch speaks of by name, None for one without a lease; `alive`: who had one until now."""
    documents = batch.snapshot.documents
    paths: Iterable[str] = batch.changed or ()
    if batch.changed is None:
        paths = {*documents, *(f"{_NODES}{name}" for name in alive)}
    found = ((path.removeprefix(_NODES), documents.get(path)) for path in paths if path.startswith(_NODES))
    return {name: document if isinstance(document, Node) else None for name, document in found}


def touched(batch: Batch, alive: Collection[str]) -> Touched:
    """Return what changed, everything if the batch does not say what; a node only if it came or went."""
    paths = batch.snapshot.documents.keys() if batch.changed is None else batch.changed
    addresses: set[Address] = set()
    workloads: set[tuple[str, str]] = set()
    for path in paths:
        match path.split("/"):
            case ["service-ips", address] | ["status", _, "address", address]:
                addresses.add(Address(address))
            case ["workloads", node, workload] | ["status", node, "workload", workload]:
                workloads.add((node, workload))
    moved = {name for name, node in nodes(batch, alive).items() if (node is None) is (name in alive)}
    return Touched(frozenset(addresses | _served_by(batch.snapshot, moved)), frozenset(workloads))


def _served_by(snapshot: Snapshot, names: Collection[str]) -> set[Address]:
    if not names:
        return set()
    claims = (document for document in snapshot.documents.values() if isinstance(document, ServiceIP))
    return {claim.address for claim in claims if any(endpoint.node in names for endpoint in claim.endpoints)}


def address_state(snapshot: Snapshot, claim: ServiceIP) -> State:
    """Judge a floating IP: as bad as the worst of the nodes that are to serve it, DOWN without any.

    Of forwarded ports only one node has the address and speaks of it, wherever the guests are.
    """
    revision = snapshot.revisions[f"service-ips/{claim.address}"]
    states = {_state_on(snapshot, claim.address, node, revision) for node in serving(claim)}
    if State.ERROR in states:
        return State.ERROR
    return State.ACTIVE if states == {State.ACTIVE} else State.DOWN


def _state_on(snapshot: Snapshot, address: Address, node: str, revision: int) -> State:
    status = snapshot.documents.get(f"status/{node}/address/{address}")
    alive = isinstance(snapshot.documents.get(f"nodes/{node}"), Node)
    if not alive or not isinstance(status, AddressStatus) or status.revision < revision:
        return State.DOWN
    return status.state


def workload_state(snapshot: Snapshot, node: str, workload: str) -> State | None:
    """Judge a port; None while its node has said nothing about what the port now is."""
    wish = snapshot.documents.get(f"workloads/{node}/{workload}")
    status = snapshot.documents.get(f"status/{node}/workload/{workload}")
    if not isinstance(wish, Workload) or not isinstance(status, WorkloadStatus) or status.revision < wish.revision:
        return None
    return status.state
