# SPDX-License-Identifier: Apache-2.0
"""What is to be written for one object: a pure function of what was read and of what it is to have.

Promises: an object whose claims and status say what they should needs no step; an
object stopped after any of its steps needs, when looked at again, the rest. The
order: finalizer, claims, status, release, finalizer off. The tricky thing is an
object that another implementation took over: we clean up what we know to be ours,
and our condition, by which we know, goes last.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from buoy.controller.step import Finalize, Publish, Release, Step, Take, Tell
from buoy.controller.subject import (
    FINALIZER,
    Answer,
    Claim,
    Condition,
    Entry,
    Grant,
    Granted,
    Refused,
    Subject,
    same_owner,
)
from buoy.model.address import Address
from buoy.model.service_ip import Mode, Owner, ServiceIP

RELEASED = "AddressReleased"
"""The reason of the Event that tells of addresses taken back."""


def decide(subject: Subject, claims: Sequence[Claim], answer: Answer | None, now: dt.datetime) -> tuple[Step, ...]:
    """Return the steps for an object with `claims`, all that name it; `answer` is for who wants addresses."""
    if not subject.wants or answer is None:
        return _leave(subject, claims, now)
    match answer:
        case Granted(grants):
            told = Condition(answer.complete, answer.reason, answer.message)
        case Refused(reason, message):
            kept = _kept(subject.owner, claims)
            grants = kept
            told = Condition(False, reason, _keeping(kept, message))
    takes = _takes(subject.owner, grants, claims)
    wanted = {grant.address for grant in grants}
    surplus = [claim for claim in claims if claim.document.address not in wanted]
    return (
        *_guarded(subject, needed=bool(takes or grants)),
        *takes,
        *_published(subject, grants, told, now),
        *releases(subject.owner, surplus, now),
    )


def releases(owner: Owner, claims: Iterable[Claim], now: dt.datetime) -> tuple[Release, ...]:
    """Return what takes an owner out of its claims; whoever is the last stays named, with the moment."""
    found = []
    for document, version in claims:
        if document.released is None:
            others = tuple(other for other in document.owners if not same_owner(other, owner))
            left = msgspec.structs.replace(document, owners=others or document.owners, released=None if others else now)
            found.append(Release(left, version))
    return tuple(found)


def _leave(subject: Subject, claims: Sequence[Claim], now: dt.datetime) -> tuple[Step, ...]:
    """Take everything back: out of the status, then the claims, then the finalizer."""
    marked = subject.condition is not None or any(claim.document.released is None for claim in claims)
    if subject.foreign and not marked:
        return ()
    addresses = {str(claim.document.address) for claim in claims}
    others = tuple(
        entry.said
        for entry in subject.ingress
        if entry.address not in addresses and (subject.foreign or not entry.ours)
    )
    cleared = subject.writable and len(others) < len(subject.ingress)
    steps: list[Step] = []
    kept = subject.condition if subject.foreign else None
    if cleared or kept != subject.condition:
        steps.append(Publish(others if cleared else None, kept))
    gone = releases(subject.owner, claims, now)
    steps += gone
    if FINALIZER in subject.finalizers:
        steps.append(Finalize(tuple(name for name in subject.finalizers if name != FINALIZER)))
    if kept is not None:
        steps.append(Publish(None, None))
    if gone:
        steps.append(Tell(False, RELEASED, f"{_listed(step.document.address for step in gone)} released"))
    return tuple(steps)


def _guarded(subject: Subject, *, needed: bool) -> tuple[Step, ...]:
    if not needed or FINALIZER in subject.finalizers:
        return ()
    return (Finalize((*subject.finalizers, FINALIZER)),)


def _takes(owner: Owner, grants: Sequence[Grant], claims: Sequence[Claim]) -> tuple[Take, ...]:
    held = {claim.document.address: claim for claim in claims}
    found = []
    for grant in grants:
        claim = held.get(grant.address) or Claim(_fresh(grant), "")
        document = _owned(claim.document, owner, grant)
        if not claim.version or document != claim.document:
            found.append(Take(document, claim.version))
    return tuple(found)


def _fresh(grant: Grant) -> ServiceIP:
    return ServiceIP(address=grant.address, mode=Mode.PROXIED, pool=grant.pool)


def _owned(document: ServiceIP, owner: Owner, grant: Grant) -> ServiceIP:
    """Return a claim that has this life of the owner; who had it before its release has it no more."""
    if document.released is not None:
        owners: tuple[Owner, ...] = (owner,)
    elif any(same_owner(other, owner) for other in document.owners):
        owners = tuple(owner if same_owner(other, owner) else other for other in document.owners)
    else:
        owners = (*document.owners, owner)
    return msgspec.structs.replace(document, owners=owners, released=None, pool=grant.pool, sharing=grant.sharing)


def _kept(owner: Owner, claims: Sequence[Claim]) -> tuple[Grant, ...]:
    """What a refused object has stays with it: nothing is yanked because it asks for what cannot be had."""
    return tuple(
        Grant(document.address, document.pool, document.sharing)
        for document, _ in claims
        if document.released is None and any(same_owner(other, owner) for other in document.owners)
    )


def _keeping(kept: Sequence[Grant], message: str) -> str:
    if not kept:
        return message
    return f"keeps {_listed(grant.address for grant in kept)}; {message}"


def _published(subject: Subject, grants: Sequence[Grant], told: Condition, now: dt.datetime) -> tuple[Step, ...]:
    ingress = _ingress(subject.ingress, [grant.address for grant in grants])
    news = not told.says(subject.condition)
    if ingress is None and not news:
        return ()
    before = subject.condition
    since = before.since if before and before.status == told.status else now.strftime("%Y-%m-%dT%H:%M:%SZ")
    steps: list[Step] = [Publish(ingress, told._replace(since=since))]
    if news:
        steps.append(Tell(not told.status, told.reason, told.message))
    return tuple(steps)


def _ingress(entries: Sequence[Entry], addresses: Sequence[Address]) -> tuple[dict[str, Any], ...] | None:
    """Return the entries a status should have, None if it has them."""
    ours = [entry for entry in entries if entry.ours or entry.address in addresses]
    said = [(entry.address, entry.said.get("ipMode", "VIP")) for entry in ours]
    if said == [(address, "VIP") for address in addresses]:
        return None
    others = [entry.said for entry in entries if entry not in ours]
    return (*({"ip": str(address), "ipMode": "VIP"} for address in addresses), *others)


def _listed(addresses: Iterable[Address]) -> str:
    return ", ".join(addresses)
