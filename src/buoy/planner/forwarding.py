# SPDX-License-Identifier: Apache-2.0
"""Routes, neighbours, NAT and announcements of one subject.

Promises that an announcement is wanted only together with everything that brings
packets to the guest. The tricky thing is what a service IP does not serve, other
ports than the mapped ones or all where only connections from its endpoint are:
the guest knows nothing of the address, so such packets are discarded here. And
where ports lead to several places no single tap may take the announcement away.
What is attached to the host has no tap at all: there nothing is routed but by others,
and what nobody translated is astray.
"""

from collections.abc import Iterable, Iterator

from buoy.model.address import Address, Mac, host_prefix
from buoy.model.nodestate import (
    Announcement,
    Class,
    Discard,
    Dnat,
    Egress,
    Entry,
    Key,
    Mapping,
    Neighbour,
    Relay,
    Route,
    Stray,
    Table,
)
from buoy.model.pool import Direction
from buoy.model.service_ip import ServiceIP
from buoy.planner.contest import Bid
from buoy.planner.placement import Ready, Served, numeric


def routed(address: Address, mac: Mac, interface: str, preference: Class) -> Iterator[tuple[Key, Bid[Entry]]]:
    """Yield what brings packets to an address the guest itself owns."""
    prefix = host_prefix(address)
    yield _want(Table.NEIGHBOUR, (interface, address), Neighbour(mac))
    yield _want(Table.ROUTE, (prefix,), Route(interface))
    yield _want(Table.ANNOUNCEMENT, (prefix,), Announcement(interface, preference))


def translated(service: ServiceIP, served: Served, preference: Class) -> Iterator[tuple[Key, Bid[Entry]]]:
    """Yield what brings packets to the endpoints of a service IP, and theirs out under it."""
    first = served[0]
    whole = first.endpoint.mapping is None
    yield from _whole(service, first) if whole else _mapped(service.address, served)
    prefix = host_prefix(service.address)
    interfaces = {ready.interface for ready in served}
    alone = first.interface if interfaces == {first.interface} else ""
    if _is_on_host(served):
        yield _want(Table.STRAY, (prefix,), Stray())
    elif whole and service.direction is not Direction.EGRESS:
        yield _want(Table.ROUTE, (prefix,), Route(alone))
    else:
        yield _want(Table.DISCARD, (prefix,), Discard())
    yield _want(Table.ANNOUNCEMENT, (prefix,), Announcement(alone or None, preference))


def _is_on_host(served: Iterable[Ready]) -> bool:
    # a blackhole would also stop what the node itself sends, before it is translated
    return any(ready.here and not ready.interface for ready in served)


def proxied(address: Address, preference: Class) -> Iterator[tuple[Key, Bid[Entry]]]:
    """Yield the announcement of an address that the node's service proxy forwards, and the end of what it does not."""
    prefix = host_prefix(address)
    yield _want(Table.STRAY, (prefix,), Stray())
    yield _want(Table.ANNOUNCEMENT, (prefix,), Announcement(None, preference))


def _whole(service: ServiceIP, ready: Ready) -> Iterator[tuple[Key, Bid[Entry]]]:
    target = ready.endpoint.target
    if service.direction is not Direction.EGRESS:
        yield _want(Table.DNAT, (service.address,), Dnat(target))
    if service.direction is not Direction.INGRESS:
        # Of several service IPs the default route's is used, else the lowest.
        rank = (int(service.default_egress), -numeric(service.address))
        yield Key(Table.EGRESS, (target,)), Bid(rank, Egress(service.address))


def _mapped(address: Address, served: Iterable[Ready]) -> Iterator[tuple[Key, Bid[Entry]]]:
    for ready in served:
        mapping, target = ready.endpoint.mapping, ready.endpoint.target
        assert mapping is not None
        for offset in range(mapping.last - mapping.first + 1):
            name = (address, mapping.protocol, str(mapping.first + offset))
            yield _want(Table.MAPPING, name, Mapping(target, mapping.target_first + offset))
        if not ready.here:
            yield _want(Table.RELAY, (address, target), Relay())


def _want(table: Table, name: tuple[str, ...], entry: Entry) -> tuple[Key, Bid[Entry]]:
    return Key(table, name), Bid((0,), entry)
