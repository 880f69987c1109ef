# SPDX-License-Identifier: Apache-2.0
"""One address for an object: the one it asks for, or the best of the pools it may draw from.

Promises that the same request, ledger and moment give the same address, and that a
*no* names every pool or address looked at. What people may already use comes first:
what the object's status shows, what it had before, what its sharing key gives; only
then the lowest free address of the first pool that has one.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from buoy.ipam.blocks import extent, number
from buoy.ipam.eligible import barrier, considered, is_of, meant, named, over_quota
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Choice, Given, Request, Scope, Way
from buoy.ipam.sharing import conflict, holder, users
from buoy.model.address import Address, family
from buoy.model.pool import Pool
from buoy.model.refusal import AllocationReason, Cause
from buoy.model.service_ip import ServiceIP

Causes: TypeAlias = tuple[Cause, ...]


class Desk(NamedTuple):
    """A request before the ledger at a moment; `given` is what the decision gives so far."""

    request: Request
    ledger: Ledger
    now: dt.datetime
    given: list[Given]


def exact(desk: Desk, address: Address, choice: Choice | None) -> Given | Causes:
    """Return an address that the object names itself, if it may have it; `choice` restricts the pools."""
    request, ledger = desk.request, desk.ledger
    claim = ledger.claim(address)
    if claim is not None and _has(claim, request):
        kept = Given(address, claim.pool, Way.KEPT)
        if choice is None or is_of(ledger, kept, choice):
            return kept
    pools, causes = ledger.pools_with(address), list[Cause]()
    if choice is not None:
        items = named(choice, ledger.pools)
        pools = tuple(pool for pool in pools if pool in items)
        causes = [item for item in items if isinstance(item, Cause)]
    if not pools:
        return (*causes, _outside(desk, address, choice))
    for pool in pools:
        found = barrier(pool, request, family(address), by_name=True) or _way(desk, pool, address)
        if isinstance(found, Way):
            return Given(address, pool.name, found)
        causes.append(found)
    return tuple(causes)


def best(desk: Desk, of_family: int) -> Given | Causes:
    """Return the address of a family that an object gets which names none."""
    items = considered(desk.request, of_family, desk.ledger)
    pools = [item for item in items if isinstance(item, Pool)]
    for given in _familiar(desk, of_family, pools):
        return given
    for pool in pools:
        if over_quota(pool, desk.request, desk.ledger, desk.given, None) is None:
            address = desk.ledger.lowest(pool, of_family, desk.now, desk.request.externals)
            if address is not None:
                return Given(address, pool.name, Way.FRESH)
    return tuple(_exhausted(desk, item, of_family) if isinstance(item, Pool) else item for item in items)


def _familiar(desk: Desk, of_family: int, pools: Collection[Pool]) -> Iterator[Given]:
    """Yield what is better than any free address, the best first."""
    request, ledger = desk.request, desk.ledger
    for address in request.shown:
        if family(address) == of_family:
            yield from _if_had(desk, address, _still_good(desk, address))
    claims = ledger.holdings.former(request.owner)
    if request.sharing:
        claims += ledger.holdings.shared(request.owner.cluster, request.sharing)
    for claim in claims:
        if family(claim.address) == of_family:
            yield from _if_had(
                desk, claim.address, [pool for pool in ledger.pools_with(claim.address) if pool in pools]
            )


def _still_good(desk: Desk, address: Address) -> list[Pool]:
    """Return the pools of an address that is in use: draining, or only for who names them, they take nothing away."""
    request, of_family = desk.request, family(address)
    pools = desk.ledger.pools_with(address)
    choice = request.choices.get(of_family)
    if choice is not None and choice.scope is Scope.OBJECT:
        pools = tuple(pool for pool in pools if pool in meant(choice, desk.ledger.pools))
    causes = ((pool, barrier(pool, request, of_family, by_name=True)) for pool in pools)
    return [pool for pool, cause in causes if cause is None or cause.reason is AllocationReason.POOL_DRAINING]


def _if_had(desk: Desk, address: Address, pools: Iterable[Pool]) -> Iterator[Given]:
    for pool in pools:
        way = _way(desk, pool, address)
        if isinstance(way, Way):
            yield Given(address, pool.name, way)


def _exhausted(desk: Desk, pool: Pool, of_family: int) -> Cause:
    over = over_quota(pool, desk.request, desk.ledger, desk.given, None)
    return over or full(desk.ledger, pool, of_family, desk.now)


def full(ledger: Ledger, pool: Pool, of_family: int, now: dt.datetime) -> Cause:
    """Return the cause of a pool that has no free address."""
    use = ledger.use(pool, of_family, now)
    taken = f"{use.live + use.held} of {use.size}"
    if use.live + use.held < use.size:
        return Cause(AllocationReason.NONE_PUT_ASIDE, {"pool": pool.name, "used": taken})
    if use.until is not None:
        taken += f", {use.held} held down until {moment(use.until)}"
    return Cause(AllocationReason.POOL_FULL, {"pool": pool.name, "used": taken})


def moment(at: dt.datetime) -> str:
    """Return a moment as RFC 3339 has it, in whole seconds."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _way(desk: Desk, pool: Pool, address: Address) -> Way | Cause:
    """Return how an object may have an address of a pool that is open to it, or why it may not."""
    way = _free(desk, pool, address, desk.ledger.claim(address))
    if isinstance(way, Way) and way is not Way.ADOPTED:
        return over_quota(pool, desk.request, desk.ledger, desk.given, address) or way
    return way


def _free(desk: Desk, pool: Pool, address: Address, claim: ServiceIP | None) -> Way | Cause:
    request, ledger = desk.request, desk.ledger
    details = {"address": str(address), "pool": pool.name}
    if claim is None:
        if not ledger.may_give(pool, address):
            return Cause(AllocationReason.ADDRESS_NOT_PUT_ASIDE, details)
        return Way.ADOPTED if address in request.shown else Way.FRESH
    details["holder"] = holder(claim)
    strangers = [name for name in users(claim) if name != _name(request)]
    # Of several that show it and would share it, none has claimed it yet: one must be the first.
    first = bool(request.sharing) and address in (*request.shown, *request.externals)
    if strangers and not _is_claimed(claim) and not first:
        return Cause(AllocationReason.ADDRESS_TAKEN, details)
    if claim.released is None:
        if claim.owners:
            return conflict(request, claim, pool) or Way.SHARED
        return Way.ADOPTED if users(claim) else Cause(AllocationReason.ADDRESS_TAKEN, details)
    if not ledger.may_give(pool, address):
        return Cause(AllocationReason.ADDRESS_NOT_PUT_ASIDE, details)
    if _names(claim, request):
        return Way.RECLAIMED
    until = ledger.until(claim)
    if until is not None and until <= desk.now:
        return Way.FRESH
    details["until"] = moment(until) if until else "it is out of use"
    return Cause(AllocationReason.ADDRESS_HELD_DOWN, details)


def _outside(desk: Desk, address: Address, choice: Choice | None) -> Cause:
    pools = desk.ledger.pools.values() if choice is None else meant(choice, desk.ledger.pools)
    of_number, of_family = number(address), family(address)
    for pool in pools:
        if any(first <= of_number <= last for first, last in extent(pool, of_family)):
            return Cause(AllocationReason.ADDRESS_LEFT_OUT, {"address": str(address), "pool": pool.name})
    names = "any pool" if choice is None else f"{', '.join(choice.pools)}, which {choice.said} names"
    return Cause(AllocationReason.ADDRESS_OUTSIDE, {"address": str(address), "pools": names})


def _has(claim: ServiceIP, request: Request) -> bool:
    return claim.released is None and _names(claim, request)


def _names(claim: ServiceIP, request: Request) -> bool:
    return any(owner.identity == request.owner.identity for owner in claim.owners)


def _is_claimed(claim: ServiceIP) -> bool:
    return claim.released is None and bool(claim.owners)


def _name(request: Request) -> str:
    return f"{request.owner.namespace}/{request.owner.name}" if request.owner.kind == "Service" else ""
