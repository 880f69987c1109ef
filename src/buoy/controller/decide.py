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

from buoy.controller.step import Finalize, Publish, Release, Step, Take, Tell
from buoy.controller.subject import (
    FINALIZER,
    Answer,
    Claim,
    Condition,
    Granted,
    Refused,
    Subject,
)
from buoy.ipam.claim import without
from buoy.model.address import Address
from buoy.model.service_ip import Identity, ServiceIP

RELEASED = "AddressReleased"
"""The reason of the Event that tells of addresses taken back."""


def decide(subject: Subject, claims: Sequence[Claim], answer: Answer | None, now: dt.datetime) -> tuple[Step, ...]:
    """Return the steps for an object.

    `claims` are all that name it and those of the addresses it is given; `answer` is for who wants addresses.
    """
    if not subject.wants or answer is None:
        return _leave(subject, claims, now)
    if isinstance(answer, Refused):
        answer = Granted((), Condition(False, answer.reason, answer.message), warning=True)
    wanted = {document.address: document for document in (*answer.claims, *answer.externals)}
    surplus = (claim for claim in claims if claim.document.address not in wanted)
    return (
        *_guarded(subject, needed=bool(wanted or subject.extras)),
        *_takes(wanted.values(), claims),
        *_published(subject, answer, now),
        *releases(subject.owner.identity, surplus, now),
    )


def releases(identity: Identity, claims: Iterable[Claim], now: dt.datetime) -> tuple[Release, ...]:
    """Return what takes an object out of its claims, but for those that only a person takes from it."""
    left = ((claim, without(claim.document, (identity,), now)) for claim in claims if not claim.document.lost)
    return tuple(Release(document, claim.version) for claim, document in left if document != claim.document)


def _leave(subject: Subject, claims: Sequence[Claim], now: dt.datetime) -> tuple[Step, ...]:
    """Take everything back: out of the status, then the claims, then the finalizer."""
    marked = subject.condition is not None or any(claim.document.released is None for claim in claims)
    if subject.foreign and not marked:
        return ()
    addresses = {str(claim.document.address) for claim in claims if claim.document.released is None}
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
    gone = releases(subject.owner.identity, claims, now)
    steps += gone
    if FINALIZER in subject.finalizers:
        steps.append(Finalize(tuple(name for name in subject.finalizers if name != FINALIZER)))
    if kept is not None:
        steps.append(Publish(None, None))
    if gone:
        steps.append(Tell(False, RELEASED, f"{_listed(step.document.address for step in gone)} released"))
    return tuple(steps)


def _guarded(subject: Subject, *, needed: bool) -> tuple[Step, ...]:
    if not needed or not subject.is_service or FINALIZER in subject.finalizers:
        return ()
    return (Finalize((*subject.finalizers, FINALIZER)),)


def _takes(wanted: Iterable[ServiceIP], claims: Sequence[Claim]) -> tuple[Take, ...]:
    held = {claim.document.address: claim for claim in claims}
    found = []
    for document in wanted:
        claim = held.get(document.address)
        if claim is None or claim.document != document:
            back = claim is not None and claim.document.lost and not document.lost
            found.append(Take(document, claim.version if claim else "", back))
    return tuple(found)


def _published(subject: Subject, answer: Granted, now: dt.datetime) -> tuple[Step, ...]:
    addresses = (*(document.address for document in answer.claims), *subject.extras)
    ingress = _ingress(subject, tuple(dict.fromkeys(addresses))) if subject.writable else None
    if not subject.is_service:
        return () if ingress is None else (Publish(ingress, None), *_told(subject, answer))
    before, told = subject.condition, answer.said
    news = not told.says(before)
    if ingress is None and not news:
        return ()
    since = before.since if before and before.status == told.status else now.strftime("%Y-%m-%dT%H:%M:%SZ")
    said = told if news or before is None else before
    return (Publish(ingress, said._replace(since=since)), *(_told(subject, answer) if news else ()))


def _told(subject: Subject, answer: Granted) -> tuple[Tell, ...]:
    # of what an Ingress is refused its Event stands, as it has no condition to tell whether it was told
    if answer.warning and not subject.is_service:
        return ()
    return (Tell(answer.warning, answer.said.reason, answer.said.message),)


def _ingress(subject: Subject, addresses: Sequence[Address]) -> tuple[dict[str, Any], ...] | None:
    """Return the entries a status should have, None if it has them."""
    entries = subject.ingress
    mode = {"ipMode": "VIP"} if subject.is_service else {}
    ours = [entry for entry in entries if entry.ours or entry.address in addresses]
    said = [(entry.address, entry.said.get("ipMode", "VIP")) for entry in ours]
    if said == [(address, "VIP") for address in addresses]:
        return None
    others = [entry.said for entry in entries if entry not in ours]
    return (*({"ip": str(address), **mode} for address in addresses), *others)


def _listed(addresses: Iterable[Address]) -> str:
    return ", ".join(addresses)
