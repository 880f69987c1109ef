# SPDX-License-Identifier: Apache-2.0
"""The claim to be written for an address that was given, and for one that is given back.

Promises that a claim never loses an owner it was not told to lose. The tricky thing:
ports stand in a claim only where its address is shared, for they are what two
writers contend for there; elsewhere every change of a port would be a write. And
what a claim led to when somebody else had it goes with them.
"""

import datetime as dt
from collections.abc import Iterable

import msgspec

from buoy.ipam.request import Given, Request, port_texts
from buoy.ipam.sharing import clashing
from buoy.model.service_ip import Identity, Mode, Owner, ServiceIP


def claimed(request: Request, given: Given, before: ServiceIP | None, mode: Mode = Mode.PROXIED) -> ServiceIP:
    """Return the claim that gives an address to an object; `before` is what stands there, None if nothing does.

    Equal to `before` if nothing is to be written.
    """
    if before is None:
        before = ServiceIP(address=given.address, mode=mode)
    identity = request.owner.identity
    others = () if before.released else tuple(owner for owner in before.owners if owner.identity != identity)
    sharing = before.sharing if others else request.sharing
    owner = _recorded(request, before, sharing)
    if others:
        there = [other.identity for other in before.owners]
        owners = [owner if other.identity == identity else other for other in before.owners]
        return msgspec.structs.replace(before, owners=tuple(owners if identity in there else (*owners, owner)))
    if before.mode is not mode or identity not in {each.identity for each in before.owners}:
        before = ServiceIP(address=given.address, mode=mode, id=before.id, project=before.project)
    # what was released, or put aside, was perhaps led to its endpoint in another way
    mode = mode if before.released else before.mode
    return msgspec.structs.replace(
        before, mode=mode, pool=given.pool, owners=(owner,), sharing=sharing, released=None, lost=False
    )


def without(claim: ServiceIP, leaving: Iterable[Identity], now: dt.datetime) -> ServiceIP:
    """Return a claim that those leaving have no more; whoever is the last stays named, with the moment."""
    gone = frozenset(leaving)
    others = tuple(owner for owner in claim.owners if owner.identity not in gone)
    if claim.released is not None or others == claim.owners:
        return claim
    if others:
        return msgspec.structs.replace(claim, owners=others)
    return msgspec.structs.replace(claim, released=now, lost=False)


def _recorded(request: Request, before: ServiceIP, sharing: str) -> Owner:
    owner = msgspec.structs.replace(request.owner, ports=(), backends="")
    if not sharing:
        return owner
    standing = () if before.released else before.owners
    others = [other for other in standing if other.identity != owner.identity]
    mine = next((each for each in standing if each.identity == owner.identity), None)
    if mine is not None and any(other.backends != request.backends or clashing(request, other) for other in others):
        # It shares what it had; what it wants besides is somebody else's.
        return msgspec.structs.replace(owner, ports=mine.ports, backends=mine.backends)
    return msgspec.structs.replace(owner, ports=port_texts(request.ports), backends=request.backends)
