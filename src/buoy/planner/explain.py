# SPDX-License-Identifier: Apache-2.0
"""One address's whole way, from document to the peers' view, in about ten lines.

Promises that each line comes from the function that decided it, and that each *no*
has its sentence and remedy. The lines end where the way ends: after a *no* that
leaves nothing to look at, nothing is invented.
"""

from collections.abc import Collection, Iterator

import msgspec

from buoy.model.address import Address
from buoy.model.node import Node
from buoy.model.nodestate import Key, NodeState, Table
from buoy.model.peer import Peer
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.status import AddressStatus
from buoy.model.workload import Workload
from buoy.planner import explain_proxied
from buoy.planner.desired import Desired
from buoy.planner.explain_pool import pool_line
from buoy.planner.line import Line, no, yes
from buoy.planner.placement import described, service_line
from buoy.planner.status import Seen, entry_name, lacking
from buoy.planner.verify import mismatches
from buoy.planner.wanted import Wanted, announcement

_PLANES = {
    "route": frozenset({Table.ROUTE, Table.NEIGHBOUR, Table.LINK, Table.DISCARD}),
    "NAT": frozenset({Table.DNAT, Table.MAPPING, Table.EGRESS, Table.RELAY}),
    "policy": frozenset({Table.GUARD, Table.COMBINATION, Table.GROUP}),
    "strays": frozenset({Table.STRAY}),
    "announcement": frozenset({Table.ANNOUNCEMENT}),
}


class Scene(msgspec.Struct, frozen=True):
    """What is known on the node that is asked: entries as just observed, and what other nodes say."""

    desired: Desired
    observed: NodeState
    seen: Seen = Seen()
    nodes: Collection[Node] = ()
    statuses: Collection[AddressStatus] = ()


def explain(address: Address, scene: Scene) -> tuple[Line, ...]:
    """Return the way of an address; the last line that is not ok is why it is not served."""
    snapshot = scene.desired.snapshot
    broken = snapshot.broken.get(f"service-ips/{address}")
    lines = []
    if broken is not None:
        lines.append(
            no("document", Withhold(Reason.BROKEN_DOCUMENT, {"path": f"service-ips/{address}", "error": broken}))
        )
    service = snapshot.documents.get(f"service-ips/{address}")
    if isinstance(service, ServiceIP):
        return (*lines, *_service(service, scene))
    owners = [found for found in snapshot.documents.values() if isinstance(found, Workload) and _owns(found, address)]
    if owners:
        return (*lines, *_owned(address, owners, scene))
    unknown = [] if lines else [no("document", Withhold(Reason.UNKNOWN_ADDRESS, {"address": address}))]
    return (*lines, *unknown, *_remains(address, scene))


def _service(service: ServiceIP, scene: Scene) -> Iterator[Line]:
    if service.mode is Mode.PROXIED:
        yield from _proxied(service, scene)
        return
    yield yes("document", service_line(service))
    yield pool_line(service, scene.desired.snapshot)
    for endpoint in service.endpoints:
        mapping = endpoint.mapping
        ports = f", {mapping.protocol} {mapping.first}-{mapping.last}" if mapping else ""
        place = endpoint.node or "no node"
        yield yes("binding", f"{described(endpoint)}{ports}, on {place}")
    yield from _here(service.address, scene)


def _proxied(service: ServiceIP, scene: Scene) -> Iterator[Line]:
    desired = scene.desired
    yield yes("document", f"{service.mode} service IP")
    yield pool_line(service, desired.snapshot)
    yield from explain_proxied.services(service)
    if not service.backings:
        yield from _remains(service.address, scene)
        return
    yield from explain_proxied.here(service, desired)
    wanted = desired.wanted(service.address)
    yield from _planes(wanted, scene) if wanted.withheld is None else _remains(service.address, scene)
    yield from explain_proxied.others(service.address, desired.here.node, desired.snapshot)


def _owns(workload: Workload, address: Address) -> bool:
    return address in {fixed.address for fixed in workload.fixed_ips} or address in {
        pair.prefix.partition("/")[0] for pair in workload.pairs
    }


def _owned(address: Address, owners: list[Workload], scene: Scene) -> Iterator[Line]:
    yield yes("document", f"address of port {', '.join(sorted(owner.id for owner in owners))}, routed without NAT")
    here = scene.desired.here.node
    for owner in owners:
        yield yes("binding", f"port {owner.id}, {owner.interface}, on {owner.node}")
    if all(owner.node != here for owner in owners):
        other = Withhold(Reason.OTHER_NODE, {"address": address, "node": owners[0].node, "workload": owners[0].id})
        yield from _elsewhere(other, address, scene)
    else:
        yield from _here(address, scene)


def _here(address: Address, scene: Scene) -> Iterator[Line]:
    """Yield what this node decided, did and sees; and what others say."""
    wanted = scene.desired.wanted(address)
    if wanted.withheld is not None and wanted.withheld.reason is Reason.OTHER_NODE:
        yield from _elsewhere(wanted.withheld, address, scene)
        return
    if wanted.withheld is not None:
        yield no("node", wanted.withheld)
        yield from _remains(address, scene)
    else:
        yield yes("node", f"served by {wanted.node}")
        yield from _planes(wanted, scene)
    yield from _others(address, scene)


def _planes(wanted: Wanted, scene: Scene) -> Iterator[Line]:
    state = scene.desired.state
    wrong = mismatches(state, scene.observed, wanted.keys)
    seen = msgspec.structs.replace(scene.seen, wrong=wrong)
    for topic, tables in _PLANES.items():
        keys = frozenset(key for key in wanted.keys if key.table in tables)
        lack = lacking(wanted, seen, keys)
        if lack is not None:
            yield no(topic, lack)
        elif keys:
            yield yes(topic, _listed(keys))
    if announcement(Address(wanted.name)) in {mismatch.key for mismatch in wrong}:
        return
    untold = scene.seen.untold
    if untold is None:
        yield yes("peers", "told to an established peer")
        return
    yield no("peers", untold)
    yield from _unfiltered(scene.desired.here.node, scene.desired.snapshot)


def _unfiltered(node: str, snapshot: Snapshot) -> Iterator[Line]:
    """Yield the peers of a node to which nothing is told, for they name a filter that is missing."""
    for path, peer in sorted(snapshot.documents.items()):
        if not isinstance(peer, Peer) or (peer.nodes and node not in peer.nodes):
            continue
        name = peer.export_filter
        if name and f"filters/{name}" not in snapshot.documents:
            text = (
                f"{path} names the filter {name}, and there is no such filter: add it, or nothing is told to this peer"
            )
            yield Line("peers", text, ok=False, reason=Reason.FILTERED_BY_EXPORT)


def _listed(keys: frozenset[Key]) -> str:
    """Return the entries by name; of a long port range the first ones."""
    names = [entry_name(key) for key in sorted(keys)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") + ": seen"


def _remains(address: Address, scene: Scene) -> Iterator[Line]:
    """Yield that an address is still announced here though nobody wants it."""
    if announcement(address) in scene.observed and announcement(address) not in scene.desired.state:
        node = scene.desired.here.node
        if scene.seen.held:
            details = {"node": node, "address": address, "cause": scene.seen.held}
            yield no("announcement", Withhold(Reason.HELD_BY_GUARD, details))
        else:
            missing = f"its withdrawal ({entry_name(announcement(address))})"
            details = {"node": node, "address": address, "missing": missing}
            yield no("announcement", Withhold(Reason.NOT_VERIFIED, details))


def _elsewhere(other: Withhold, address: Address, scene: Scene) -> Iterator[Line]:
    node = other.details["node"]
    if node not in {alive.name for alive in scene.nodes}:
        yield no("node", Withhold(Reason.NODE_WITHOUT_AGENT, other.details))
    else:
        yield no("node", other)
    for status in scene.statuses:
        if status.address == address and status.node == node:
            said = Withhold(status.reason, status.details) if status.reason else None
            yield no("status", said) if said else yes("status", f"{node} says {status.state}")
    yield from _remains(address, scene)


def _others(address: Address, scene: Scene) -> Iterator[Line]:
    """Yield the other nodes that still say that they announce the address."""
    for status in scene.statuses:
        if status.address == address and status.announced and status.node != scene.desired.here.node:
            details = {"address": address, "node": status.node}
            yield no("other nodes", Withhold(Reason.OLD_NODE_NOT_CONFIRMED, details))
