# SPDX-License-Identifier: Apache-2.0
"""A small cluster to plan for: this node and others, a Service or two, and what their proxy forwards."""

from collections.abc import Iterable

import msgspec

from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Eligibility, Kind, Proxying, ProxyMode, ProxyPort
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.status import AddressStatus, State
from buoy.planner.desired import Desired
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import HERE, THERE, no_guest, snapshot

THIRD = "compute-3"
PUBLIC, POOL = Address("203.0.113.5"), Prefix("203.0.113.0/24")
WEB, TLS, DNS = ProxyPort("tcp", 80), ProxyPort("tcp", 443), ProxyPort("udp", 53)
EVERYWHERE: tuple[Eligibility, ...] = tuple(Eligibility(node=name) for name in (HERE, THERE, THIRD))


def settings(*advertise: Advertised, **changes: object) -> BGPSettings:
    """Return settings that advertise these; none given: load-balancer IPs of 203.0.113.0/24, address by address."""
    return msgspec.structs.replace(BGPSettings(advertise=advertise or (pool(),)), **changes)


def pool(prefix: str = POOL, *, aggregate: bool = False, kinds: tuple[Kind, ...] = (Kind.LOAD_BALANCER,)) -> Advertised:
    return Advertised(prefix=Prefix(prefix), kinds=kinds, aggregate=aggregate)


def backing(**changes: object) -> Backing:
    """Return a Service with one port and a ready endpoint on this node."""
    plain = Backing(service="shop/web", kind=Kind.LOAD_BALANCER, ports=(WEB,), ready=(HERE,))
    return msgspec.structs.replace(plain, **changes)


def balanced(*backings: Backing, **changes: object) -> ServiceIP:
    """Return 203.0.113.5 with these Services behind it; none given: `backing()`."""
    plain = ServiceIP(address=PUBLIC, mode=Mode.PROXIED, backings=backings or (backing(),))
    return msgspec.structs.replace(plain, **changes)


def forwarding(
    *ports: ProxyPort, refused: Iterable[ProxyPort] = (), relied: Iterable[ProxyPort] | None = None
) -> Sight:
    """Return a node whose proxy forwards these ports of the address; `relied` None: it does not announce it."""
    does = Proxying(frozenset(ports), frozenset(refused))
    announced = {} if relied is None else {PUBLIC: frozenset(relied)}
    return Sight({}, ProxyMode.NFTABLES, {PUBLIC: does}, announced)


def cluster(*documents: Document, sight: Sight | None = None, at: str = HERE) -> Desired:
    """Return what a node wishes for in a cluster of three where port 80 is forwarded, unless said otherwise."""
    desired = Desired(Here(at, no_guest))
    known = [document for document in documents if isinstance(document, BGPSettings)] or [settings()]
    eligible = {each.node: each for each in (*EVERYWHERE, *documents) if isinstance(each, Eligibility)}
    others = [document for document in documents if not isinstance(document, BGPSettings | Eligibility)]
    desired.update(snapshot(*known, *eligible.values(), *others), None, sight or forwarding(WEB))
    return desired


def says(node: str, *, announced: bool = True) -> AddressStatus:
    """Return what another node says of the address."""
    return AddressStatus(
        node=node,
        address=PUBLIC,
        state=State.ACTIVE if announced else State.DOWN,
        programmed=announced,
        announced=announced,
    )
