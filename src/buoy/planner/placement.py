# SPDX-License-Identifier: Apache-2.0
"""Whether an address is served from this node, and why not if it is not.

Promises that every *no* is a `Withhold` whose details name what it is about. These
are the functions that decide, so `buoy why` says what they say.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from buoy.model.address import Address, packed
from buoy.model.documents import Document
from buoy.model.node import Fence
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Attachment, Endpoint, Mode, ServiceIP
from buoy.model.workload import Workload
from buoy.planner.contest import Subject
from buoy.planner.index import Reader, interface_seat
from buoy.planner.proxied import idle, missed
from buoy.planner.registered import unregistered


class Ready(msgspec.Struct, frozen=True):
    """An endpoint that packets can be sent to.

    `interface` is its tap, empty if it has none here: it is on another node (not `here`), or attached to the host.
    """

    endpoint: Endpoint
    interface: str
    here: bool = True


Served: TypeAlias = tuple[Ready, ...]
"""The endpoints a service IP leads to from this node; never empty."""


def workload_path(node: str, workload: str) -> Subject:
    """Return where a workload's document stands."""
    return f"workloads/{node}/{workload}"


def workload_withheld(workload: Workload, reader: Reader) -> Withhold | None:
    """Return why nothing is routed to a workload of this node, None if its tap is up and its own."""
    details = {"workload": workload.id, "node": workload.node, "interface": workload.interface}
    holder = reader.holder(interface_seat(workload.interface))
    if holder != workload_path(workload.node, workload.id):
        return Withhold(Reason.CLAIMED_TWICE, {**details, "address": workload.interface, "other": str(holder)})
    if not workload.admin_up:
        return Withhold(Reason.ADMIN_DOWN, details)
    link = reader.link(workload.interface)
    if link is None:
        return Withhold(Reason.TAP_MISSING, details)
    return None if link.up else Withhold(Reason.TAP_DOWN, details)


def service_ip_placed(service: ServiceIP, node: str, reader: Reader) -> Served | Withhold:
    """Return the endpoints a translated service IP leads to from here, or why it does not."""
    bound = [endpoint for endpoint in service.endpoints if endpoint.node]
    if service.mode is not Mode.TRANSLATED:
        return _withhold(Reason.MODE_NOT_SERVED, service, mode=service.mode.value)
    if not bound:
        return unbound(service)
    candidates = _candidates(sorted(bound, key=_order), node)
    if not any(endpoint.node == node for endpoint in candidates):
        return _withhold(Reason.OTHER_NODE, service, node=min(bound, key=_order).node, workload=bound[0].workload)
    holder = reader.holder(service.address)
    if holder != f"service-ips/{service.address}":
        return _withhold(Reason.CLAIMED_TWICE, service, node=node, other=str(holder))
    return unregistered(service, reader) or _ready(service, candidates, node, reader)


def serving(service: ServiceIP) -> frozenset[str]:
    """Return the nodes that are to serve a service IP: each endpoint's, or for mapped ones the anchor's alone.

    Of a proxied one those with an endpoint; which of them announce, and who besides, `proxied.py` decides.
    """
    if service.mode is Mode.PROXIED:
        return frozenset(node for backing in service.backings for node in (*backing.ready, *backing.draining))
    bound = sorted((endpoint for endpoint in service.endpoints if endpoint.node), key=_order)
    return frozenset(endpoint.node for endpoint in bound if _candidates(bound, endpoint.node))


def unbound(service: ServiceIP) -> Withhold:
    """Return why a service IP that no node is to serve leads nowhere."""
    if service.mode is Mode.PROXIED:
        return idle(service)
    if not service.endpoints:
        return _ownerless(service)
    foreign = [endpoint for endpoint in service.endpoints if endpoint.driver]
    endpoint = (foreign or service.endpoints)[0]
    reason = Reason.OTHER_DRIVER if foreign else Reason.PORT_UNBOUND
    return _withhold(reason, service, workload=endpoint.workload, driver=endpoint.driver)


def _ownerless(service: ServiceIP) -> Withhold:
    if service.lost:
        return missed(service)
    if not service.owners:
        return _withhold(Reason.UNBOUND, service)
    if service.released is not None:
        return _withhold(Reason.RELEASED, service, owner=str(service.owners[0].identity))
    owner = service.owners[0]
    return _withhold(Reason.OWNER_AWAY, service, owner=str(owner.identity), namespace=owner.namespace)


def service_line(service: ServiceIP) -> str:
    """Return what a service IP that leads to endpoints is, as a person reads it."""
    identity = f" {service.id}" if service.id else ""
    return f"{service.mode} service IP{identity}, direction {service.direction}"


def described(endpoint: Endpoint) -> str:
    """Return what an endpoint is, for people."""
    if endpoint.attached is Attachment.HOST:
        return f"{endpoint.workload} at {endpoint.target}"
    return f"port {endpoint.workload}, fixed IP {endpoint.target}"


def unconfirmed(address: Address, reader: Reader) -> bool:
    """Tell whether a node that is to serve an address no more may still announce it, and nobody has fenced it."""
    others = reader.announcers(address)
    if not others:
        return False
    service = reader.document(f"service-ips/{address}", ServiceIP)
    rightful = serving(service) if service else frozenset()
    return any(reader.document(f"fences/{node}", Fence) is None for node in others if node not in rightful)


def _order(endpoint: Endpoint) -> tuple[str, int, bytes, str]:
    """Order by mapping, then address: the first mapped endpoint's node is the anchor."""
    mapping = endpoint.mapping
    first = (mapping.protocol, mapping.first) if mapping else ("", 0)
    return (*first, packed(endpoint.target), endpoint.workload)


def _candidates(bound: list[Endpoint], node: str) -> list[Endpoint]:
    """Return the endpoints this node answers for.

    An unmapped endpoint is served where it is. Mapped ones share the address, and only one node can
    have it without splitting flows: the anchor serves them all, wherever they are.
    """
    unmapped = [endpoint for endpoint in bound if endpoint.mapping is None]
    if unmapped:
        return [endpoint for endpoint in unmapped if endpoint.node == node]
    return bound if bound[0].node == node else []


def _ready(service: ServiceIP, candidates: list[Endpoint], node: str, reader: Reader) -> Served | Withhold:
    ready: list[Ready] = []
    withheld: list[Withhold] = []
    for endpoint in candidates:
        here = endpoint.node == node
        found = _interface(service, endpoint, reader) if here else ""
        if isinstance(found, Withhold):
            withheld.append(found)
        else:
            ready.append(Ready(endpoint, found, here))
    if not ready:
        return withheld[0]
    # Without mapping one endpoint has all ports, so there can be one only.
    return tuple(ready) if ready[0].endpoint.mapping else (ready[0],)


def _interface(service: ServiceIP, endpoint: Endpoint, reader: Reader) -> str | Withhold:
    """Return the tap an endpoint of this node is behind, none if it is attached to the host, or why it is not ready."""
    if endpoint.attached is Attachment.HOST:
        return _attached_to_host(service, endpoint, reader)
    path = workload_path(endpoint.node, endpoint.workload)
    workload = reader.document(path, Workload)
    details = {"node": endpoint.node, "workload": endpoint.workload, "target": endpoint.target}
    if workload is None:
        return _withhold(Reason.WORKLOAD_MISSING, service, **details)
    if endpoint.target not in {fixed.address for fixed in workload.fixed_ips}:
        return _withhold(Reason.FIXED_IP_LEFT, service, **details)
    if (holder := reader.holder(endpoint.target)) != path:
        return Withhold(Reason.CLAIMED_TWICE, {**details, "address": endpoint.target, "other": str(holder)})
    withheld = workload_withheld(workload, reader)
    if withheld is not None:
        return Withhold(withheld.reason, {"address": service.address, **withheld.details})
    return workload.interface


def _attached_to_host(service: ServiceIP, endpoint: Endpoint, reader: Reader) -> str | Withhold:
    """Return no tap; a port of ours with the same address would get what is meant for the endpoint."""
    details = {"node": endpoint.node, "workload": endpoint.workload, "target": endpoint.target}
    other = reader.holder(endpoint.target)
    if other is not None:
        return Withhold(Reason.CLAIMED_TWICE, {**details, "address": endpoint.target, "other": other})
    return "" if reader.is_routed(endpoint.target) else _withhold(Reason.NO_ROUTE, service, **details)


def attached(document: Document | None, node: str) -> frozenset[Address]:
    """Return what a service IP leads to on a node that is not ours to route to: somebody else attaches it."""
    ends = document.endpoints if isinstance(document, ServiceIP) else ()
    return frozenset(end.target for end in ends if end.node == node and end.attached is Attachment.HOST)


def _withhold(reason: Reason, service: ServiceIP, **details: str) -> Withhold:
    known: Mapping[str, str] = {"address": service.address, **details}
    return Withhold(reason, known)


def numeric(address: Address) -> int:
    """Return an address as a number, for *lowest*."""
    return int.from_bytes(packed(address))
