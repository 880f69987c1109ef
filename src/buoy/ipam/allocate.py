# SPDX-License-Identifier: Apache-2.0
"""What an object is to have, decided anew as often as asked: the heart of allocation.

Promises: the same request, ledger and moment give the same answer; no address goes
to two owners but by sharing; what an object has it keeps for as long as what it
asks for instead cannot be had. A `Refusal` means that it is to have nothing at all.
The tricky thing is *all or nothing*: it governs what is given, not what people
already use, so an address that the status shows stays when a second one is lacking.
"""

import datetime as dt
from collections.abc import Iterable

from buoy.ipam.choose import Causes, Desk, best, exact
from buoy.ipam.eligible import is_of
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Given, Request, Scope, Way
from buoy.ipam.sharing import conflict
from buoy.model.address import family
from buoy.model.refusal import AllocationReason, Cause, Refusal
from buoy.model.service_ip import ServiceIP


def allocate(request: Request, ledger: Ledger, now: dt.datetime) -> Allocation | Refusal:
    """Return the addresses an object is to have, or why it is to have none.

    To be called again whenever the request, a pool or a claim changes; the ledger is not changed: whoever has written
    the claim (`claim.claimed`) puts it there.
    """
    desk = Desk(request, ledger, now, [])
    held = ledger.holdings.held(request.owner)
    addresses, lacking = _of_families(desk, held)
    externals, refused = _externals(desk, addresses)
    lacking = (*lacking, *refused, *_conflicts(desk, (*addresses, *externals)))
    if lacking and not addresses and not externals:
        return Refusal(lacking)
    given = {each.address for each in (*addresses, *externals)}
    surplus = tuple(claim.address for claim in held if claim.address not in given)
    return Allocation(addresses, externals, lacking, surplus)


def _of_families(desk: Desk, held: Iterable[ServiceIP]) -> tuple[tuple[Given, ...], Causes]:
    request = desk.request
    spare = [claim for claim in held if claim.address not in request.externals]
    frozen = (*request.objections, *_not_asked(request))
    lacking = list(frozen)
    served: dict[int, Given] = {}
    for of_family in request.families:
        kept = _kept(request, of_family, spare)
        found = () if frozen else _found(desk, of_family, kept)
        given = found if isinstance(found, Given) else kept
        if not isinstance(found, Given):
            lacking += found
        if given is not None:
            served[of_family] = given
            desk.given.append(given)
    if request.require_all and len(served) < len(request.families):
        # What came without the rest goes again, unless it is in use: a crash may have come between two claims.
        served = {key: each for key, each in served.items() if each.address in request.shown and each.way is Way.KEPT}
        desk.given[:] = served.values()
    return tuple(served.values()), tuple(lacking)


def _found(desk: Desk, of_family: int, kept: Given | None) -> Given | Causes:
    """Return the address of a family as asked for, which may be the one that is there already."""
    wanted, choice = desk.request.wanted.get(of_family), desk.request.choices.get(of_family)
    # The pool of a namespace or of the cluster is where new addresses come from; it moves nobody, and it does not
    # stand against an address that the object itself asks for.
    own = choice if choice is not None and choice.scope is Scope.OBJECT else None
    if wanted is not None:
        return exact(desk, wanted, own)
    if kept is not None and (own is None or is_of(desk.ledger, kept, own)):
        return kept
    return best(desk, of_family)


def _kept(request: Request, of_family: int, spare: Iterable[ServiceIP]) -> Given | None:
    """Return what an object has of a family: the address in use, else the lowest."""
    mine = [claim for claim in spare if family(claim.address) == of_family]
    mine.sort(key=lambda claim: claim.address not in request.shown)
    return Given(mine[0].address, mine[0].pool, Way.KEPT) if mine else None


def _not_asked(request: Request) -> Causes:
    owner = str(request.owner.identity)
    return tuple(
        Cause(AllocationReason.FAMILY_NOT_ASKED, {"address": address, "family": str(of_family), "owner": owner})
        for of_family, address in sorted(request.wanted.items())
        if of_family not in request.families
    )


def _externals(desk: Desk, addresses: Iterable[Given]) -> tuple[tuple[Given, ...], Causes]:
    """Return those of its own addresses that lie in a pool and may be its; others are not our business."""
    given = {each.address: each for each in addresses}
    lacking: list[Cause] = []
    found: list[Given] = []
    for address in dict.fromkeys(desk.request.externals):
        each = given.get(address) or exact(desk, address, None)
        if isinstance(each, Given):
            found.append(each)
            desk.given.append(each)
        else:
            lacking += (cause for cause in each if cause.reason is not AllocationReason.ADDRESS_OUTSIDE)
    return tuple(found), tuple(lacking)


def _conflicts(desk: Desk, given: Iterable[Given]) -> Causes:
    """Return what is wrong between an object and those it shares an address with since it changed; nobody is moved."""
    found: list[Cause] = []
    for each in given:
        claim = desk.ledger.claim(each.address)
        if each.way is Way.KEPT and claim is not None:
            cause = conflict(desk.request, claim, desk.ledger.pools.get(each.pool))
            if cause is not None and cause not in found:
                found.append(cause)
    return tuple(found)
