# SPDX-License-Identifier: Apache-2.0
"""An address explained from the store alone: what is wanted, and what the nodes said of it.

Promises the same reasons a node would give; what only a node can see is left to it,
and the last line says where to ask.
"""

from collections.abc import Collection, Iterator
from typing import TypedDict

from buoy.model.address import Address, contains, host_prefix
from buoy.model.node import Fence
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.status import AddressStatus
from buoy.model.workload import Workload
from buoy.planner.elsewhere import may_announce
from buoy.planner.explain_pool import free_lines, pool_line
from buoy.planner.explain_proxied import services
from buoy.planner.line import Line
from buoy.planner.placement import described, service_line, serving, unbound
from buoy.planner.proxied import listed
from buoy.planner.reach import Reach


class Told(TypedDict):
    """One line, as it is printed."""

    topic: str
    text: str
    ok: bool
    reason: str


def remote_lines(address: Address, snapshot: Snapshot) -> list[Told]:
    """Return the way of an address as the store tells it."""
    service = snapshot.documents.get(f"service-ips/{address}")
    if isinstance(service, ServiceIP) and service.mode is Mode.PROXIED:
        return list(_proxied(service, snapshot))
    if isinstance(service, ServiceIP):
        return [*_service(service, snapshot), *_nodes(address, serving(service), snapshot)]
    owners = _owners(address, snapshot)
    if not owners:
        return [*_unknown(address, snapshot), *_nodes(address, set(), snapshot)]
    fixed = _by_fixed_ip(address, owners)
    what = "fixed IP" if fixed else "allowed address pair"
    lines = [_yes("document", f"{what} of port {port.id}, routed without NAT to {port.interface}") for port in owners]
    # of several ports that may have a pair, those that do speak of it
    speaking = {status.node for status in Reach(snapshot).statuses(address)}
    ends = {port.node for port in owners}
    return [*lines, *_nodes(address, ends if fixed else ends & speaking or ends, snapshot)]


def _unknown(address: Address, snapshot: Snapshot) -> Iterator[Told]:
    """Yield that nobody has an address, and what is known of it all the same."""
    yield from map(_told, free_lines(address, snapshot))
    nodes = [found for _, found in sorted(snapshot.documents.items()) if isinstance(found, Eligibility)]
    for node in nodes:
        if address in node.addresses:
            yield _yes("node", f"it is an address of {node.node} itself")
        elif any(contains(prefix, address) for prefix in node.prefixes):
            yield _yes("node", f"it is an address for pods on {node.node}")
    reason = Reason.UNKNOWN_IN_CLUSTER if nodes else Reason.UNKNOWN_ADDRESS
    yield _no("document", Withhold(reason, {"address": address}))


def _owners(address: Address, snapshot: Snapshot) -> list[Workload]:
    """Return the ports with this fixed IP, else those with a pair of this one address."""
    ports = [found for found in snapshot.documents.values() if isinstance(found, Workload)]
    alone = host_prefix(address)
    return _by_fixed_ip(address, ports) or [port for port in ports if alone in {pair.prefix for pair in port.pairs}]


def _by_fixed_ip(address: Address, ports: Collection[Workload]) -> list[Workload]:
    return [port for port in ports if address in {fixed.address for fixed in port.fixed_ips}]


def _service(service: ServiceIP, snapshot: Snapshot) -> Iterator[Told]:
    yield _yes("document", service_line(service))
    if service.pool:
        yield _told(pool_line(service, snapshot))
    if not service.endpoints:
        yield _no("binding", unbound(service))
    # one line for a port, however many of its ports are forwarded
    for end in {(end.workload, end.target, end.node, end.driver): end for end in service.endpoints}.values():
        details = {"workload": end.workload, "address": service.address, "driver": end.driver}
        if not end.node:
            reason = Reason.OTHER_DRIVER if end.driver else Reason.PORT_UNBOUND
            yield _no("binding", Withhold(reason, details))
        else:
            yield _yes("binding", f"{described(end)}, on {end.node}")


def old_nodes(address: Address, snapshot: Snapshot) -> list[Told]:
    """Return the nodes that should not serve an address and may still announce it, or say something is wrong."""
    reach = Reach(snapshot)
    statuses = reach.statuses(address)
    wanted = _rightful(address, [status.node for status in statuses], snapshot, reach)
    fenced = {document.node for document in snapshot.documents.values() if isinstance(document, Fence)}
    lines = []
    for status in statuses:
        if status.node in wanted or status.node in fenced:
            continue
        if may_announce(status):
            details = {"node": status.node, "address": address}
            lines.append(_no("old node", Withhold(Reason.OLD_NODE_NOT_CONFIRMED, details)))
        if status.reason is Reason.PAIR_OWNED:
            lines.append(_rival(status))
        elif status.reason is not None:
            lines.append(_said(status))
    return lines


def _rival(status: AddressStatus) -> Told:
    """Return that a port asks for somebody else's address: nothing is wrong with the address, or with its owner."""
    why = Withhold(status.reason or Reason.PAIR_OWNED, status.details)
    return _yes("pair", f"{why}; {why.remedy}")


def _rightful(address: Address, speaking: Collection[str], snapshot: Snapshot, reach: Reach) -> Collection[str]:
    """Return the nodes that are to serve an address; of a proxied one, which of those that speak of it may."""
    service = snapshot.documents.get(f"service-ips/{address}")
    if not isinstance(service, ServiceIP):
        return frozenset(owner.node for owner in _owners(address, snapshot))
    return reach.lawful(service, speaking) if service.mode is Mode.PROXIED else serving(service)


def _proxied(service: ServiceIP, snapshot: Snapshot) -> Iterator[Told]:
    yield _yes("document", f"{service.mode} service IP")
    if service.pool:
        yield _told(pool_line(service, snapshot))
    yield from map(_told, services(service))
    if not service.backings:
        yield from old_nodes(service.address, snapshot)
        return
    reach = Reach(snapshot)
    ends = {node for node, no in reach.decisions(service).items() if no is None}
    told = ends.intersection(reach.announcing(service.address)) & reach.living
    if told:
        yield _yes("status", f"announced by {listed(sorted(told))}: an established peer was told")
    no = reach.nowhere(service)
    if no is not None:
        yield _yes("node", str(no)) if no.reason is Reason.COVERED_BY_AGGREGATE else _no("node", no)
    yield from _nodes(service.address, ends - told, snapshot)


def _nodes(address: Address, ends: Collection[str], snapshot: Snapshot) -> Iterator[Told]:
    """Yield what the nodes that should serve an address say, as far as they live, and what others left behind."""
    reach = Reach(snapshot)
    said = {status.node: status for status in reach.statuses(address)}
    for node in sorted(ends):
        details = {"node": node, "address": address, "missing": "any report yet"}
        if node not in reach.living:
            yield _no("node", Withhold(Reason.NODE_WITHOUT_AGENT, details))
        elif node in said:
            yield _said(said[node])
        else:
            yield _no("status", Withhold(Reason.NOT_VERIFIED, details))
    yield from old_nodes(address, snapshot)


def _said(status: AddressStatus) -> Told:
    if status.reason is None:
        return _yes("status", f"{status.node} programmed it and an established peer was told")
    return _no("status", Withhold(status.reason, {"node": status.node, "address": status.address, **status.details}))


def _told(line: Line) -> Told:
    return Told(topic=line.topic, text=line.text, ok=line.ok, reason=line.reason or "")


def _yes(topic: str, text: str) -> Told:
    return Told(topic=topic, text=text, ok=True, reason="")


def _no(topic: str, why: Withhold) -> Told:
    return Told(topic=topic, text=f"{why}; {why.remedy}", ok=False, reason=str(why.reason))
