# SPDX-License-Identifier: Apache-2.0
"""Whether a controller gives addresses, and which Services wait for one, for who looks once.

Promises only to read, and that a Service which is another's by its class is not counted.
The tricky thing: that no controller leads is told by a lease that is over, by the
server's own clock, for a dead controller says nothing; and a cluster whose addresses
another program gives has no such lease, which is nothing wrong.
"""

from typing import NamedTuple

from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.objects import Service
from buoy.kubernetes.resources import NAMESPACE, SERVICES
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES, Lease, stale
from buoy.store.api_names import ObjectName, Selection

CONTROLLER = ObjectName(NAMESPACE, "buoy-controller")
"""The lease of whoever leads; see `controller/run.py`."""

_BALANCERS = Selection(fields="spec.type=LoadBalancer")


class Allocating(NamedTuple):
    """Who leads, "" if nobody does, None if nobody ever did; and the Services without an address, as NAMESPACE/NAME."""

    leader: str | None
    waiting: tuple[str, ...]


async def allocating(api: ApiServer) -> Allocating:
    """Ask for the controller's lease and the Services; raise like `ApiServer.list`."""
    services = await api.list(SERVICES, Service, _BALANCERS)
    waiting = sorted(f"{one.metadata.namespace}/{one.metadata.name}" for one in services if _waits(one))
    lease = await api.get(LEASES.at(CONTROLLER), Lease)
    if lease is None:
        return Allocating(None, tuple(waiting))
    leader = "" if stale(lease, api.date) else lease.spec.holder_identity or ""
    return Allocating(leader, tuple(waiting))


def _waits(service: Service) -> bool:
    if service.spec.load_balancer_class not in {None, LOAD_BALANCER_CLASS} or service.metadata.deletion_timestamp:
        return False
    balancer = service.status.load_balancer
    return not (balancer and balancer.ingress)
