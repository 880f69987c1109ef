# SPDX-License-Identifier: Apache-2.0
"""What each kind of document wants of a node: pure functions of a subject and the facts it reads.

Promises that one subject costs the same whatever else the node holds.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

import msgspec

from buoy.model.address import Address, Mac, Prefix, contains, host_prefix, is_host, split
from buoy.model.guest import GuestConfig
from buoy.model.network import Network, Subnet
from buoy.model.nodestate import (
    Announcement,
    Class,
    Discard,
    Entry,
    Internal,
    Key,
    LinkSettings,
    Stray,
    Table,
)
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.workload import AddressPair, Workload
from buoy.planner.aggregates import announced_whole, node_prefixes
from buoy.planner.contest import Bid, Subject
from buoy.planner.forwarding import proxied, routed, translated
from buoy.planner.index import NOTHING, Reader, Wish, about
from buoy.planner.placement import service_ip_placed, unconfirmed, workload_withheld
from buoy.planner.policy import guard
from buoy.planner.proxied import proxied_placed

Guest: TypeAlias = Callable[[Workload, Mapping[str, Subnet], Network | None], GuestConfig | None]
"""What a guest is told by DHCP and router advertisement; None: nothing."""

_PLACED: Bid[Withhold | None] = Bid((2,), None)
_TWICE, _SERVICE, _WORKLOAD = (3,), (1,), (0,)


class Here(msgspec.Struct, frozen=True):
    """A node as its own planner knows it: its name, how it answers guests, and with which preference it announces."""

    node: str
    guest: Guest
    preference: Class = Class.NORMAL


def _preference(here: Here, address: Address, reader: Reader) -> Class:
    """Return how to announce an address: better than a node that is to serve it no more and may still announce it."""
    return Class.TAKEOVER if unconfirmed(address, reader) else here.preference


def service_ip_wish(here: Here, subject: Subject, reader: Reader) -> Wish:
    """Return what a service IP wants."""
    service = reader.document(subject, ServiceIP)
    if service is None or _is_fixed_here(service, here.node):
        return NOTHING
    if service.mode is Mode.PROXIED:
        return _proxied_wish(here, service, reader)
    served = service_ip_placed(service, here.node, reader)
    if isinstance(served, Withhold):
        return Wish(verdicts={service.address: _verdict(served, _SERVICE)})
    entries = dict(translated(service, served, _preference(here, service.address, reader)))
    return Wish(entries, verdicts={service.address: _PLACED})


def _proxied_wish(here: Here, service: ServiceIP, reader: Reader) -> Wish:
    """Return the announcement of an address to which somebody else forwards packets."""
    placed = proxied_placed(service, here.node, here.preference, reader)
    if isinstance(placed, Withhold):
        return Wish(verdicts={service.address: _verdict(placed, _SERVICE)})
    return Wish(dict(proxied(service.address, placed)), verdicts={service.address: _PLACED})


def _is_fixed_here(service: ServiceIP, node: str) -> bool:
    """Tell whether the workload itself owns the address and speaks for it."""
    return service.mode is Mode.ROUTED and any(endpoint.node == node for endpoint in service.endpoints)


def workload_wish(here: Here, subject: Subject, reader: Reader) -> Wish:
    """Return what a workload wants: its policy at once, its routes when its tap is up."""
    workload = reader.document(subject, Workload)
    if workload is None:
        return NOTHING
    withheld = workload_withheld(workload, reader)
    if withheld is not None and withheld.reason is Reason.CLAIMED_TWICE:
        return Wish(verdicts=_all_withheld(workload, withheld), refused=withheld)
    port_guard, needs = guard(workload)
    entries: dict[Key, Bid[Entry]] = {Key(Table.GUARD, (workload.interface,)): Bid((0,), port_guard)}
    entries.update(_link_and_dhcp(here, workload, reader))
    if withheld is not None:
        return Wish(entries, needs, _all_withheld(workload, withheld), withheld)
    verdicts: dict[Address, Bid[Withhold | None]] = {}
    own = {fixed.address for fixed in workload.fixed_ips}
    for address, (mac, verdict) in _addresses(workload, subject, reader).items():
        verdicts[address] = _PLACED if verdict is None else _verdict(verdict, _WORKLOAD)
        if verdict is None:
            # whoever else announces an allowed pair may be its other rightful user
            wanted = _preference(here, address, reader) if address in own else here.preference
            entries.update(routed(address, mac, workload.interface, wanted))
    refused = [bid.value for bid in verdicts.values() if bid.rank == _TWICE]
    return Wish(entries, needs, verdicts, refused[0] if refused else None, about(entries))


def _link_and_dhcp(here: Here, workload: Workload, reader: Reader) -> Iterator[tuple[Key, Bid[Entry]]]:
    name = (workload.interface,)
    if reader.link(workload.interface) is not None:
        yield Key(Table.LINK, name), Bid((0,), LinkSettings())
    network = reader.document(f"networks/{workload.network}", Network)
    config = here.guest(workload, _subnets(workload, reader), network) if workload.admin_up else None
    if config is not None:
        yield Key(Table.DHCP, name), Bid((0,), config)


def _subnets(workload: Workload, reader: Reader) -> dict[str, Subnet]:
    found = {fixed.subnet: reader.document(f"subnets/{fixed.subnet}", Subnet) for fixed in workload.fixed_ips}
    return {name: subnet for name, subnet in found.items() if subnet is not None}


def _addresses(workload: Workload, subject: Subject, reader: Reader) -> dict[Address, tuple[Mac, Withhold | None]]:
    """Return the addresses that packets should be routed to this workload for, with their MAC, or why not.

    An allowed pair that another port has, or has as well, is no conflict: it is how guests share an address.
    """
    found: dict[Address, tuple[Mac, Withhold | None]] = {}
    details = {"workload": workload.id, "node": workload.node, "interface": workload.interface}
    prefixes = [subnet.prefix for subnet in _subnets(workload, reader).values()]
    for pair in sorted(workload.pairs, key=lambda pair: (pair.prefix, pair.mac), reverse=True):
        address = split(pair.prefix)[0]
        if not is_host(pair.prefix) or reader.holder(address) != subject:
            continue
        found[address] = (pair.mac, _not_routed(pair, prefixes, {**details, "address": address}))
    for fixed in workload.fixed_ips:
        holder = reader.holder(fixed.address)
        twice = Withhold(Reason.CLAIMED_TWICE, {**details, "address": fixed.address, "other": str(holder)})
        found[fixed.address] = (workload.mac, None if holder == subject else twice)
    return found


def _not_routed(pair: AddressPair, prefixes: Collection[Prefix], details: Mapping[str, str]) -> Withhold | None:
    """Return why the address of an allowed pair is somebody else's: anybody may ask for any, and may send from it."""
    if pair.owner:
        return Withhold(Reason.PAIR_OWNED, {**details, "owner": pair.owner})
    inside = any(contains(prefix, split(pair.prefix)[0]) for prefix in prefixes)
    return None if inside else Withhold(Reason.PAIR_OUTSIDE, details)


def _all_withheld(workload: Workload, withheld: Withhold) -> dict[Address, Bid[Withhold | None]]:
    return {
        fixed.address: _verdict(Withhold(withheld.reason, {"address": fixed.address, **withheld.details}), _WORKLOAD)
        for fixed in workload.fixed_ips
    }


def _verdict(withheld: Withhold, rank: tuple[int]) -> Bid[Withhold | None]:
    """Return a *no*; a conflict outweighs the *yes* of the other claimant, any other *no* does not."""
    return Bid(_TWICE if withheld.reason is Reason.CLAIMED_TWICE else rank, withheld)


def subnet_wish(here: Here, subject: Subject, reader: Reader) -> Wish:
    """Return the prefix towards which fixed addresses are kept."""
    del here
    subnet = reader.document(subject, Subnet)
    if subnet is None or not subnet.internal:
        return NOTHING
    return Wish({Key(Table.INTERNAL, (subnet.prefix,)): Bid((0,), Internal())})


def eligibility_wish(here: Here, subject: Subject, reader: Reader) -> Wish:
    """Return a node and its own pods as destinations towards which fixed addresses are kept."""
    del here
    eligibility = reader.document(subject, Eligibility)
    if eligibility is None:
        return NOTHING
    prefixes = (*eligibility.prefixes, *map(host_prefix, eligibility.addresses))
    return Wish({Key(Table.INTERNAL, (prefix,)): Bid((0,), Internal()) for prefix in prefixes})


def settings_wish(here: Here, subject: Subject, reader: Reader) -> Wish:
    """Return the cluster's own prefixes: those inside, and the pools, Services and pods this node announces for."""
    settings = reader.document(subject, BGPSettings)
    if settings is None:
        return NOTHING
    # An address of somebody's outranks an aggregate that happens to be as long.
    rank = (-1,)
    whole, withheld = announced_whole(settings, here.node, reader)
    told = [*settings.originate, *node_prefixes(settings, here.node, reader), *whole]
    entries: dict[Key, Bid[Entry]] = {
        Key(Table.INTERNAL, (prefix,)): Bid(rank, Internal()) for prefix in settings.internal_prefixes
    }
    entries |= {Key(Table.DISCARD, (prefix,)): Bid(rank, Discard()) for prefix in settings.originate}
    entries |= {Key(Table.STRAY, (prefix,)): Bid(rank, Stray()) for prefix in whole}
    entries |= {Key(Table.ANNOUNCEMENT, (prefix,)): Bid(rank, Announcement(None, here.preference)) for prefix in told}
    return Wish(entries, refused=withheld)
