# SPDX-License-Identifier: Apache-2.0
"""From an allocation to what is written of it: which claims, which condition.

Promises that whoever reads the condition learns what the object has, from where, and
each *no* with its reason and remedy. The tricky thing is what an object has against
the pool's present will: it stays, and is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from buoy.controller.subject import Answer, Claim, Condition, Granted, Refused
from buoy.ipam.claim import claimed
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Given, Request, Way
from buoy.model.address import Address
from buoy.model.refusal import Cause, Refusal
from buoy.model.service_ip import ServiceIP

Claims: TypeAlias = Mapping[Address, Claim]

ALLOCATED = "Allocated"
PARTLY = "PartlyAllocated"
OUTSIDE = "OutsidePool"
DRAINING = "PoolDraining"
"""Reasons of our condition besides those of a refusal."""

_LONGEST = 32_768
"""Characters the API server takes as a condition's message."""


def answer(request: Request, found: Allocation | Refusal, ledger: Ledger, claims: Claims) -> Answer:
    """Return what the controller is to write for what `allocate` found; `claims` are those that stand."""
    if isinstance(found, Refusal):
        return Refused(found.reason.camel, f"{found}; {found.remedy}"[:_LONGEST])
    given = (*found.addresses, *found.externals)
    has = ", ".join(f"{each.address} from pool {each.pool}" for each in given)
    remark = _remark(given, ledger)
    if found.lacking:
        said = _lacking(request, found, has)
    elif remark is not None:
        said = Condition(True, remark[0], f"{has}; {remark[1]}")
    else:
        said = Condition(True, ALLOCATED, has)
    said = said._replace(message=said.message[:_LONGEST])
    addresses, externals = (_claims(request, part, claims) for part in (found.addresses, found.externals))
    return Granted(addresses, said, externals, warning=bool(found.lacking))


def _claims(request: Request, given: Iterable[Given], claims: Claims) -> tuple[ServiceIP, ...]:
    stands = ((each, claims.get(each.address)) for each in given)
    return tuple(claimed(request, each, claim.document if claim else None) for each, claim in stands)


def _lacking(request: Request, found: Allocation, has: str) -> Condition:
    refusal = Refusal(found.lacking)
    message = f"{has}; but {refusal}; {refusal.remedy}"
    # of two families one is as good as two where the second is only preferred
    preferred = not request.require_all and 0 < len(found.addresses) < len(request.families)
    if preferred and all(cause.details.get("family") or cause.pool for cause in found.lacking):
        return Condition(True, PARTLY, message)
    return Condition(False, refusal.reason.camel, message)


def _remark(given: Sequence[Given], ledger: Ledger) -> tuple[str, str] | None:
    """Return reason and sentence for what an object keeps though its pool would not give it now."""
    for each in given:
        pools = ledger.pools_with(each.address)
        if each.way is Way.KEPT and each.pool not in {pool.name for pool in pools}:
            return OUTSIDE, f"{each.address} is not of pool {each.pool} any more, and is kept while the object wants it"
    for each in given:
        pool = ledger.pools.get(each.pool)
        if pool is not None and pool.draining:
            return DRAINING, f"pool {each.pool} gives no new addresses; delete and make the object anew to leave it"
    return None


def causes(found: Allocation | Refusal) -> tuple[Cause, ...]:
    """Return what an object lacks."""
    return found.causes if isinstance(found, Refusal) else found.lacking
