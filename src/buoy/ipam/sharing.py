# SPDX-License-Identifier: Apache-2.0
"""Whether one address may serve several objects.

Promises that nobody comes to an address of others but by the key they gave it, with
ports that none of them has, and with backends for which the same nodes announce:
all with traffic policy Cluster, or all Local with the same pods. For one route per
address leads where either is true, and would lead the other's packets astray.
Namespaces do not share, whatever the key, unless the pool says that they may: else
whoever guesses a key could sit on a stranger's address.
"""

from buoy.ipam.request import Request, port_texts
from buoy.model.pool import Pool
from buoy.model.proxied import Kind
from buoy.model.refusal import AllocationReason, Cause
from buoy.model.service_ip import Owner, ServiceIP

_SHARERS = frozenset({"Service", "Ingress"})
"""What a service proxy forwards for, port by port; what is translated as a whole has an address for itself."""


def conflict(request: Request, claim: ServiceIP, pool: Pool | None) -> Cause | None:
    """Return why an object may not have an address together with its other owners, None if it may or there are none."""
    for other in claim.owners:
        if other.identity != request.owner.identity:
            cause = _conflict(request, claim, other, pool)
            if cause is not None:
                return cause
    return None


def holder(claim: ServiceIP) -> str:
    """Return who has an address, in words."""
    if claim.owners:
        return ", ".join(str(owner.identity) for owner in claim.owners)
    if claim.backings:
        return ", ".join(f"Service {name}, which shows it without a claim" for name in users(claim))
    if claim.project:
        return f"project {claim.project} of OpenStack"
    return "a service IP without owner"


def users(claim: ServiceIP) -> tuple[str, ...]:
    """Return the Services that show an address as their own, claimed or not: ``namespace/name``."""
    return tuple(backing.service for backing in claim.backings if backing.kind is not Kind.CLUSTER)


def _conflict(request: Request, claim: ServiceIP, other: Owner, pool: Pool | None) -> Cause | None:
    reason = _reason(request, claim, other, pool)
    if reason is None:
        return None
    details = {"address": str(claim.address), "holder": str(other.identity), "pool": pool.name if pool else claim.pool}
    return Cause(reason, details | {"port": clashing(request, other)})


def _reason(request: Request, claim: ServiceIP, other: Owner, pool: Pool | None) -> AllocationReason | None:
    owner = request.owner
    if not claim.sharing or not request.sharing or other.cluster != owner.cluster:
        return AllocationReason.ADDRESS_TAKEN
    if owner.kind not in _SHARERS or other.kind not in _SHARERS:
        return AllocationReason.ADDRESS_TAKEN
    if claim.sharing != request.sharing:
        return AllocationReason.SHARING_KEY_DIFFERS
    if other.namespace != owner.namespace and not (pool and pool.share_across_namespaces):
        return AllocationReason.SHARING_NAMESPACE
    if other.backends != request.backends:
        return AllocationReason.SHARING_BACKENDS
    return AllocationReason.SHARING_PORT if clashing(request, other) else None


def clashing(request: Request, other: Owner) -> str:
    """Return the ports two objects cannot both have, empty if there is none; who names no port wants them all."""
    ports = port_texts(request.ports)
    if not ports or not other.ports:
        return "of every number"
    return ", ".join(port for port in ports if port in other.ports)
