# SPDX-License-Identifier: Apache-2.0
"""A small cloud to plan for: one node, a port or two, and what a test adds or changes."""

from collections.abc import Collection, Mapping

import msgspec

from buoy.model import documents
from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.guest import GuestConfig
from buoy.model.network import Network, Subnet
from buoy.model.nodestate import Entry, Key, Link, Table
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.workload import FixedIP, Workload
from buoy.planner.desired import Desired
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here

HERE, THERE = "compute-1", "compute-2"
MAC = Mac("fa:16:3e:00:00:01")
FIXED, OTHER_FIXED, FIXED6 = Address("192.0.2.1"), Address("192.0.2.2"), Address("2001:db8::1")
SERVICE, SERVICE2, SERVICE6 = Address("198.51.100.1"), Address("198.51.100.2"), Address("2001:db8:f::1")
SUBNET = Subnet(id="s4", network="net", prefix=Prefix("192.0.2.0/24"), internal=False)
UP = Link("tap1", 7, up=True)
DOWN = Link("tap1", 7, up=False)


def port(**changes: object) -> Workload:
    """Return a port at 192.0.2.1 behind tap1, in no group."""
    plain = Workload(id="port1", node=HERE, interface="tap1", mac=MAC, network="net", fixed_ips=(fixed(FIXED),))
    return msgspec.structs.replace(plain, **changes)


def fixed(address: Address) -> FixedIP:
    return FixedIP(address=address, subnet="s4")


def floating(**changes: object) -> ServiceIP:
    """Return 198.51.100.1, leading to that port with all its ports."""
    return msgspec.structs.replace(ServiceIP(address=SERVICE, endpoints=(endpoint(),)), **changes)


def endpoint(**changes: object) -> Endpoint:
    return msgspec.structs.replace(Endpoint(workload="port1", target=FIXED, node=HERE), **changes)


def mapped(first: int, **changes: object) -> Endpoint:
    """Return an endpoint for TCP ports from `first` on, as many as `last` says."""
    last = changes.pop("last", first)
    assert isinstance(last, int)
    return endpoint(mapping=PortMapping(protocol="tcp", first=first, last=last, target_first=first + 1000), **changes)


def snapshot(
    *wanted: Document, revisions: Mapping[str, int] | None = None, broken: Mapping[str, str] | None = None
) -> Snapshot:
    """Return a store that holds these documents."""
    held = {documents.path(document): document for document in wanted}
    return Snapshot(Identity("cluster", 1), held, dict.fromkeys(held, 1) | dict(revisions or {}), broken or {})


def node(
    *wanted: Document,
    links: tuple[Link, ...] = (UP,),
    revisions: Mapping[str, int] | None = None,
    unrouted: Collection[Address] = (),
) -> Desired:
    """Return this node's wishes for these documents."""
    desired = Desired(Here(HERE, no_guest))
    sight = Sight({link.name: link for link in links}, unrouted=unrouted)
    desired.update(snapshot(*wanted, revisions=revisions), None, sight)
    return desired


def no_guest(workload: Workload, subnets: Mapping[str, Subnet], network: Network | None) -> GuestConfig | None:
    return None


def told_guest(workload: Workload, subnets: Mapping[str, Subnet], network: Network | None) -> GuestConfig | None:
    return GuestConfig(interface=workload.interface, mac=workload.mac, domain=",".join(subnets))


def only(desired: Desired, *tables: Table) -> dict[Key, Entry]:
    """Return the desired entries of these tables."""
    return {key: entry for key, entry in desired.state.items() if key.table in tables}


def key(table: Table, *name: str) -> Key:
    return Key(table, name)
