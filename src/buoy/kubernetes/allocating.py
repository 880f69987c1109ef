# SPDX-License-Identifier: Apache-2.0
"""Whether a controller gives addresses, and which Services wait for one, for who looks once.

Promises only to read, and that a Service which is another's by its class is not counted, unless
that class is nearly ours: then nobody may feel meant. The tricky thing: that no controller
leads is told by a lease that is over, by the server's own clock, for a dead controller says
nothing; and a cluster whose addresses another program gives has no such lease, which is nothing wrong.
"""

import difflib
from typing import NamedTuple

from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.objects import Service
from buoy.kubernetes.resources import GROUP, NAMESPACE, SERVICES
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES, Lease, stale
from buoy.store.api_names import ObjectName, Selection

CONTROLLER = ObjectName(NAMESPACE, "buoy-controller")
"""The lease of whoever leads; see `controller/run.py`."""

_ALIKE = 0.85
"""How much of its letters a class must share with ours to be taken for a typing error."""
_BALANCERS = Selection(fields="spec.type=LoadBalancer")


class Allocating(NamedTuple):
    """Who leads, "" if nobody does, None if nobody ever did; and the Services without an address, as NAMESPACE/NAME."""

    leader: str | None
    waiting: tuple[str, ...]


async def allocating(api: ApiServer) -> Allocating:
    """Ask for the controller's lease and the Services; raise like `ApiServer.list`."""
    services = await api.list(SERVICES, Service, _BALANCERS)
    waiting = sorted(f"{one.metadata.namespace}/{one.metadata.name}" for one in services if _waits(one))
    return Allocating(await leading(api), tuple(waiting))


async def leading(api: ApiServer) -> str | None:
    """Return which controller leads, "" if none does, None if none ever did; raise like `ApiServer.get`."""
    lease = await api.get(LEASES.at(CONTROLLER), Lease)
    if lease is None:
        return None
    return "" if stale(lease, api.date) else lease.spec.holder_identity or ""


def is_meant_for_us(name: str) -> bool:
    """Tell whether a load-balancer class that is not ours was likely meant to be: one letter off, or in our domain."""
    return name.startswith(f"{GROUP}/") or bool(difflib.get_close_matches(name, [LOAD_BALANCER_CLASS], cutoff=_ALIKE))


def _waits(service: Service) -> bool:
    named = service.spec.load_balancer_class
    if service.metadata.deletion_timestamp or not (named in {None, LOAD_BALANCER_CLASS} or is_meant_for_us(named)):
        return False
    balancer = service.status.load_balancer
    return not (balancer and balancer.ingress)
