# SPDX-License-Identifier: Apache-2.0
"""Whether a node announces a proxied service IP, as what, and why not if it does not.

Promises that an address begins to be announced only where the node's own service proxy
was seen to forward every port and is known to live, and that the node which is left to its last, terminating
endpoint goes on until another that has a ready one says that it announces: there is
always a next hop while there is an endpoint.

Two things are tricky. Of several Services that share an address each may want other
nodes: it is announced where all of them are served, and only if there is no such node
wherever one is. And going on takes less than beginning (`_forwarded`): a Service that is given
one more port must not lose the others until the proxy has programmed it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from buoy.model.address import Address, contains, host_prefix, is_host, split
from buoy.model.nodestate import Class
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Eligibility, Kind, Proxying, ProxyMode, ProxyPort
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.planner.index import Reader
from buoy.planner.registered import unregistered

SETTINGS = "settings/bgp"
_NAMED = 5


class Attracting(msgspec.Struct, frozen=True):
    """A Service that packets should come to this node for; `last`: only while no other node is ready for it."""

    backing: Backing
    last: bool = False


def proxied_placed(service: ServiceIP, node: str, preference: Class, reader: Reader) -> Class | Withhold:
    """Return as what this node announces a proxied service IP, or why it does not."""
    found = attracting(service, node, reader)
    if isinstance(found, Withhold):
        return found
    unforwarded = _unforwarded(service, found, node, reader)
    if unforwarded is not None:
        return unforwarded
    return max(preference, Class.DRAIN) if all(each.last for each in found) else preference


def attracting(service: ServiceIP, node: str, reader: Reader) -> tuple[Attracting, ...] | Withhold:
    """Return the Services for which a node is to attract packets, or why it is not, whatever its proxy does."""
    routed = _with_host_route(service, reader)
    if isinstance(routed, Withhold):
        return routed
    cause = excluded(node, reader)
    if cause:
        return Withhold(Reason.NODE_EXCLUDED, {**about(service, routed), "node": node, "cause": cause})
    words = [_role(service, backing, node, reader) for backing in routed]
    found = tuple(word for word in words if isinstance(word, Attracting))
    noes = [word for word in words if isinstance(word, Withhold)]
    if noes and (not found or _served_together(routed, reader)):
        return noes[0]
    return unregistered(service, reader) or found


def idle(service: ServiceIP) -> Withhold:
    """Return why an address leads to no endpoint: nobody has it, or they have none."""
    if not service.backings:
        return missed(service) if service.lost else Withhold(Reason.NO_SERVICE, {"address": service.address})
    return Withhold(Reason.NO_READY_ENDPOINT, about(service, service.backings))


def missed(service: ServiceIP) -> Withhold:
    """Return why an address leads nowhere whose owner was lost with an older state of the store."""
    owner = str(service.owners[0].identity) if service.owners else "nobody known"
    return Withhold(Reason.CLAIM_LOST, {"address": service.address, "owner": owner})


def excluded(node: str, reader: Reader) -> str:
    """Return why a node may not attract traffic from outside, "" if it may."""
    eligibility = reader.document(f"eligibility/{node}", Eligibility)
    return "it is no node of the cluster" if eligibility is None else eligibility.excluded


def about(service: ServiceIP, backings: Iterable[Backing], **details: str) -> dict[str, str]:
    """Return what every reason may name; of several Services the namespace is that of the first."""
    names = [backing.service for backing in backings]
    known = {"address": service.address, "service": listed(names), "namespace": names[0].partition("/")[0]}
    return {**known, **details}


def listed(names: Sequence[str]) -> str:
    """Return names as a person reads them; of many the first ones."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def ports_text(ports: Iterable[ProxyPort]) -> str:
    """Return ports as a person reads them."""
    return listed([f"{port.protocol} {port.port}" for port in sorted(ports)])


def _with_host_route(service: ServiceIP, reader: Reader) -> tuple[Backing, ...] | Withhold:
    """Return the Services for which the address is to have a route of its own, or why there is none."""
    if not service.backings:
        return idle(service)
    settings = reader.document(SETTINGS, BGPSettings)
    advertise = settings.advertise if settings else ()
    by = {backing: advertised(service, backing, advertise) for backing in service.backings}
    told = {backing: found for backing, found in by.items() if found is not None}
    if not told:
        kind = service.backings[0].kind.value
        return Withhold(Reason.NOT_ADVERTISED, about(service, service.backings, kind=kind))
    routed = tuple(backing for backing, found in told.items() if has_host_route(backing, found))
    if not routed:
        prefix = next(iter(told.values())).prefix
        return Withhold(Reason.COVERED_BY_AGGREGATE, about(service, told, prefix=prefix))
    return routed


def advertised(service: ServiceIP, backing: Backing, advertise: Iterable[Advertised]) -> Advertised | None:
    """Return by which of the prefixes an address of this kind is advertised: the longest; None if by none.

    What somebody was given is advertised by itself: a pool that shrinks or goes takes no address from who has one.
    """
    address = service.address
    fitting = [each for each in advertise if backing.kind in each.kinds and contains(each.prefix, address)]
    if not fitting and backing.kind is Kind.LOAD_BALANCER and service.owners and service.released is None:
        fitting = [Advertised(prefix=host_prefix(address), kinds=(backing.kind,), aggregate=False)]
    return max(fitting, key=lambda each: (split(each.prefix)[1], each.aggregate), default=None)


def has_host_route(backing: Backing, by: Advertised) -> bool:
    """Tell whether an address gets a route of its own for a Service, and not that of its prefix alone."""
    return backing.local or backing.host_route or not is_aggregate(by)


def is_aggregate(advertised_by: Advertised) -> bool:
    """Tell whether a prefix is announced as a whole: one address is a route of its own anyway."""
    return advertised_by.aggregate and not is_host(advertised_by.prefix)


def _role(service: ServiceIP, backing: Backing, node: str, reader: Reader) -> Attracting | Withhold:
    if not (backing.ready or backing.draining or backing.elsewhere):
        return Withhold(Reason.NO_READY_ENDPOINT, about(service, [backing], node=node))
    if not backing.local or node in backing.ready:
        return Attracting(backing)
    if node in backing.draining and not _successors(service.address, backing, reader):
        return Attracting(backing, last=True)
    nodes = listed(backing.ready or backing.draining) or "no node"
    return Withhold(Reason.NO_LOCAL_ENDPOINT, about(service, [backing], node=node, nodes=nodes))


def _successors(address: Address, backing: Backing, reader: Reader) -> frozenset[str]:
    """Return the nodes with a ready endpoint that say they announce the address."""
    return frozenset(reader.announced(address)).intersection(backing.ready) if backing.ready else frozenset()


def _served_together(routed: Iterable[Backing], reader: Reader) -> bool:
    """Tell whether on some node that may attract traffic all of these Services are served."""
    routed = tuple(routed)
    if not all(backing.ready or backing.draining or backing.elsewhere for backing in routed):
        return False
    common = set.intersection(*(set(backing.ready) for backing in routed if backing.local))
    return any(not excluded(node, reader) for node in sorted(common))


def _unforwarded(service: ServiceIP, found: tuple[Attracting, ...], node: str, reader: Reader) -> Withhold | None:
    """Return why the address is not announced as its node's service proxy is now, None if it may be."""
    known = about(service, [each.backing for each in found], node=node)
    mode = reader.service_proxy()
    if mode is ProxyMode.UNCHECKED:
        return None
    if mode is ProxyMode.NONE:
        return Withhold(Reason.NO_SERVICE_PROXY, known)
    ports = frozenset(port for each in found for port in each.backing.ports)
    proxying, relied = reader.proxying(service.address), reader.relied(service.address)
    stuck = reader.stuck()
    if stuck and relied is None:
        return Withhold(Reason.SERVICE_PROXY_STUCK, {**known, "cause": stuck})
    if _forwarded(ports, proxying, relied):
        return None
    missing = sorted(ports - proxying.forwarded)
    refused = [port for port in missing if port in proxying.refused]
    return Withhold(Reason.NOT_PROXIED_YET, {**known, "missing": ports_text(refused or missing) or "any port"})


def _forwarded(ports: frozenset[ProxyPort], proxying: Proxying, relied: frozenset[ProxyPort] | None) -> bool:
    """Tell whether enough is forwarded.

    To begin with, every port; for what is announced (`relied` is not None) one, and all that it was relied on for.
    """
    forwarded = ports & proxying.forwarded
    if relied is None:
        return bool(ports) and forwarded == ports
    return bool(forwarded) and ports & relied <= forwarded
