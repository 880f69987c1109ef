# SPDX-License-Identifier: Apache-2.0
"""What is to be written for the floating IPs of one owner of pods: a pure function of what was heard.

Promises that a floating IP leads to one pod of its owner at most, of those that ask for it if it was asked for, the
same one for as long as that can serve; and that what was given by hand is taken back by hand only, what a pod asked
for when it asks no more.

The tricky thing: pods come and go, and none of it may cost the address. While an owner has a pod that asks,
whatever becomes of it, its claims stay; when its last pod is gone they are released, and it gets them back.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from buoy.controller.answer import causes
from buoy.controller.pods import Wish, is_asking, told_as, wish_of
from buoy.controller.step import Release, Step, Take, Tell
from buoy.controller.subject import Claim
from buoy.controller.world import World
from buoy.ipam.allocate import allocate
from buoy.ipam.claim import claimed, without
from buoy.ipam.request import Given
from buoy.kubernetes.pods import Pod, chosen, endpoints, owner_of
from buoy.model.address import Address, family
from buoy.model.pool import Direction, Pool
from buoy.model.refusal import Cause, Refusal
from buoy.model.service_ip import Identity, Mode, Owner, ServiceIP

ASSOCIATED = "FloatingIP"
HOST_NETWORK = "HostNetwork"
"""Reasons of Events besides those of a refusal."""

_ON_HOST = "it is in the network of its node, whose address no floating IP leads to; run it without hostNetwork"

Documents = Mapping[Address, ServiceIP]


class Outcome(NamedTuple):
    """What is to be done for an owner; `told` is the pod that is told, `refused` what stands against its wish."""

    steps: tuple[Step, ...]
    told: Owner | None = None
    causes: tuple[Cause, ...] = ()
    refused: Tell | None = None


def decide_floating(identity: Identity, world: World, now: dt.datetime) -> Outcome:
    """Return what is to be written of the claims of an owner of pods."""
    claims = {claim.document.address: claim for claim in world.books.of(identity) if _is_of(claim, identity)}
    pods = world.pods.of(identity)
    asks = [each for each in pods if is_asking(each)]
    had = {end.workload for claim in claims.values() for end in claim.document.endpoints}
    pod, served = chosen(pods, had), chosen(asks, had)
    asking = served or min(asks, key=lambda each: (each.is_leaving, each.name), default=None)
    documents = {at: claim.document for at, claim in claims.items()}
    by_hand = {at: document for at, document in documents.items() if not document.owners[0].declared}
    lost = {at: document for at, document in documents.items() if document.lost}
    wanted = {**lost, **by_hand}
    lacking: tuple[Cause, ...] = ()
    if asking is not None:
        granted, lacking = _granted(asking, identity, world, now)
        wanted = {**lost, **(documents if granted is None else granted), **by_hand}
    # whoever of the owner's pods did not ask has only what was given by hand
    led = {at: _leading(each, served if each.owners[0].declared else pod, world) for at, each in wanted.items()}
    steps = (*_takes(led, world.books.claims), *_releases(identity, claims, led, now))
    told = asking or pod
    return Outcome(steps, told_as(told) if told else None, lacking, _refused(asking, lacking))


def _is_of(claim: Claim, identity: Identity) -> bool:
    owners = [owner.identity for owner in claim.document.owners]
    return claim.document.released is None and owners == [identity]


def _granted(
    pod: Pod, identity: Identity, world: World, now: dt.datetime
) -> tuple[Documents | None, tuple[Cause, ...]]:
    """Return what a pod is to have for its wish, None if that is what its owner has; and what it lacks."""
    owner = msgspec.structs.replace(owner_of(pod, world.ours.cluster), declared=True)
    ledger = world.books.ledger
    wish = wish_of(pod, owner, world.namespaces.get(identity.namespace), ledger)
    if not wish.has:
        # not yet
        return None, ()
    found = allocate(wish.request, ledger, now)
    if isinstance(found, Refusal):
        return {}, causes(found)
    return {each.address: _document(wish, each, world) for each in found.addresses}, causes(found)


def _document(wish: Wish, given: Given, world: World) -> ServiceIP:
    standing = world.books.claims.get(given.address)
    document = claimed(wish.request, given, standing.document if standing else None, Mode.TRANSLATED)
    if wish.request.objections:
        return document
    pool = world.books.ledger.pools.get(given.pool)
    direction = wish.direction or (pool.direction if pool else Direction.BOTH)
    return msgspec.structs.replace(document, direction=direction, mappings=wish.mappings)


def _leading(document: ServiceIP, pod: Pod | None, world: World) -> ServiceIP:
    """Return a claim that leads to a pod; one that was made by hand learns its pool, for the books."""
    if document.lost and (pod is None or document.owners[0].declared):
        # as it was: nobody has said that it is to lead nowhere, or asked for it again
        return document
    pools: Collection[Pool] = () if document.pool else world.books.ledger.pools_with(document.address)
    pool = next(iter(pools), None)
    return msgspec.structs.replace(
        document,
        pool=pool.name if pool else document.pool,
        endpoints=endpoints(pod, family(document.address), document.mappings),
        lost=False,
    )


def _takes(wanted: Documents, claims: Mapping[Address, Claim]) -> Iterator[Step]:
    for at, document in wanted.items():
        claim = claims.get(at)
        if claim is None or claim.document != document:
            back = claim is not None and claim.document.lost and not document.lost
            yield Take(document, claim.version if claim else "", back)
        led = claim.document.endpoints if claim else ()
        if document.endpoints and document.endpoints != led:
            yield Tell(False, ASSOCIATED, f"{at} leads to it")


def _releases(identity: Identity, claims: Mapping[Address, Claim], kept: Documents, now: dt.datetime) -> Iterator[Step]:
    for at, claim in claims.items():
        if at not in kept:
            gone = without(claim.document, (identity,), now)
            yield Release(msgspec.structs.replace(gone, endpoints=(), mappings=()), claim.version)


def _refused(pod: Pod | None, lacking: tuple[Cause, ...]) -> Tell | None:
    if pod is not None and pod.spec.host_network:
        return Tell(True, HOST_NETWORK, _ON_HOST)
    if not lacking:
        return None
    refusal = Refusal(lacking)
    return Tell(True, refusal.reason.camel, f"{refusal}; {refusal.remedy}")
