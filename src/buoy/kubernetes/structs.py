# SPDX-License-Identifier: Apache-2.0
"""Which objects a reader needs for the documents it wants, and of which struct they are.

Promises that a document is as good as complete: whoever asks for some hears of every
object that has a say in them. The order of `STRUCTS` is that in which a first listing
is cheapest to take: nodes before slices, and Services last, so each is made once.
"""

from collections.abc import Sequence
from typing import Any

from buoy.kubernetes import own
from buoy.kubernetes.foreign import BGPConfiguration, BGPFilter, BGPPeer, IPAddressPool
from buoy.kubernetes.networks import ServiceCIDR
from buoy.kubernetes.objects import EndpointSlice, Node, Service
from buoy.kubernetes.pods import Pod
from buoy.kubernetes.resources import (
    ADDRESS_POOLS,
    BGP_CONFIGURATIONS,
    BGP_FILTERS,
    BGP_PEERS,
    KINDS,
    NODES,
    PODS,
    SERVICE_CIDRS,
    SERVICES,
    SLICES,
)
from buoy.store.api_lease import LEASES, Lease
from buoy.store.api_names import Resource

STRUCTS: dict[Resource, Any] = {
    LEASES: Lease,
    NODES: Node,
    PODS: Pod,
    **own.STRUCTS,
    ADDRESS_POOLS: IPAddressPool,
    BGP_CONFIGURATIONS: BGPConfiguration,
    BGP_FILTERS: BGPFilter,
    BGP_PEERS: BGPPeer,
    SERVICE_CIDRS: ServiceCIDR,
    SLICES: EndpointSlice,
    SERVICES: Service,
}
"""The struct of each resource that is read."""

FOREIGN = frozenset({ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS})
"""Kinds that need not be installed."""
OPTIONAL = FOREIGN | {SERVICE_CIDRS}
"""Kinds that a server need not know."""

_BESIDES: dict[str, tuple[Resource, ...]] = {
    "service-ips/": (SERVICES, SLICES, NODES),
    "pools/": (ADDRESS_POOLS,),
    "settings/": (BGP_CONFIGURATIONS, ADDRESS_POOLS, SERVICE_CIDRS),
    "peers/": (BGP_PEERS, BGP_FILTERS, BGP_CONFIGURATIONS, NODES),
    "filters/": (BGP_PEERS, BGP_FILTERS, BGP_CONFIGURATIONS, NODES),
    "nodes/": (LEASES,),
    "eligibility/": (NODES,),
}
"""What else than Buoy's own objects of the same path has a say in a document."""
_OWN_BESIDES = {"settings/": "pools/", "peers/": "settings/", "filters/": "settings/"}
"""Which of those have a say in documents of another path."""


def needed(prefixes: Sequence[str], node: str = "") -> tuple[Resource, ...]:
    """Return the resources that have a say in the documents beneath some prefixes, in the order of `STRUCTS`.

    With a `node` they are the documents as that node sees them, which knows its own pods.
    """
    found = {kind.resource for kind in KINDS if _meet(kind.prefix, prefixes)}
    if node and _meet("service-ips/", prefixes):
        found.add(PODS)
    for path, resources in _BESIDES.items():
        if _meet(path, prefixes):
            found.update(resources)
    for path, others in _OWN_BESIDES.items():
        if _meet(path, prefixes):
            found.update(kind.resource for kind in KINDS if kind.prefix.startswith(others))
    return tuple(resource for resource in STRUCTS if resource in found)


def _meet(path: str, prefixes: Sequence[str]) -> bool:
    return any(path.startswith(prefix) or prefix.startswith(path) for prefix in prefixes)
