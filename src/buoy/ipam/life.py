# SPDX-License-Identifier: Apache-2.0
"""What time and death do to claims: released when their owners are gone, purged when nobody will ask any more.

Promises that only what was listed in full decides: an owner of another cluster, or
of a kind that was not listed, is never taken for gone. The tricky one is the owner
that was deleted and made again while nobody looked: it has another uid and the same
name, and its claim is its own.
"""

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from buoy.ipam.blocks import number
from buoy.ipam.claim import without
from buoy.ipam.ledger import Ledger
from buoy.model.address import Address, family
from buoy.model.pool import REMEMBER, Pool
from buoy.model.service_ip import Identity, Owner, ServiceIP


class Living(NamedTuple):
    """An object that exists: the uid of its present life, and what of ours its status shows."""

    uid: str
    shown: frozenset[Address] = frozenset()


class Census(NamedTuple):
    """All objects of some kinds in a cluster: who owns something, is of these and is not `living`, is gone."""

    cluster: str
    kinds: frozenset[str]
    living: Mapping[Identity, Living]


class Care(NamedTuple):
    """What is to be done: `writes` are claims before and after, `purges` are to be deleted.

    Each is to be written only over the version it was decided from. `unlike` are objects whose status shows other
    addresses than they have: to be decided anew, which costs nothing where they are right.
    """

    writes: tuple[tuple[ServiceIP, ServiceIP], ...]
    purges: tuple[ServiceIP, ...]
    unlike: tuple[Identity, ...]


def care(ledger: Ledger, census: Census, now: dt.datetime) -> Care:
    """Return what is to be done for the claims as they stand and the objects that live."""
    writes, purges = [], []
    for claim in ledger.holdings.claims.values():
        if is_over(ledger, claim, now):
            purges.append(claim)
            continue
        after = _after(claim, census, now)
        if after != claim:
            writes.append((claim, after))
    unlike = [identity for identity, living in census.living.items() if _had(ledger, identity) != living.shown]
    return Care(tuple(writes), tuple(purges), tuple(sorted(unlike)))


def is_over(ledger: Ledger, claim: ServiceIP, now: dt.datetime) -> bool:
    """Tell whether a released claim may go: others may have the address, and its former owner is not waited for.

    One that nobody ever had is put aside by who asked another registry for it, and theirs to give back.
    """
    until = ledger.until(claim)
    spare = bool(claim.id) and not claim.owners
    if claim.released is None or spare or until is None or until > now:
        return False
    pool = ledger.pools.get(claim.pool)
    return now >= claim.released + dt.timedelta(seconds=pool.remember if pool else REMEMBER)


def outside(ledger: Ledger, pool: Pool) -> tuple[Address, ...]:
    """Return the addresses that somebody has of a pool that does not give them any more, sorted: nobody is moved."""
    held = (claim for claim in ledger.holdings.claims.values() if claim.pool == pool.name)
    found = (claim.address for claim in held if claim.released is None and claim.owners)
    left = (at for at in found if number(at) not in ledger.blocks(pool, family(at)))
    return tuple(sorted(left, key=lambda at: (family(at), number(at))))


def _after(claim: ServiceIP, census: Census, now: dt.datetime) -> ServiceIP:
    """Return a claim without the owners that are gone, and with those that were made again in their present life."""
    if claim.released is not None:
        return claim
    gone = [owner.identity for owner in claim.owners if _is_gone(owner, census)]
    left = without(claim, gone, now)
    owners = tuple(_in_present_life(owner, census) for owner in left.owners)
    return left if owners == left.owners else msgspec.structs.replace(left, owners=owners)


def _is_gone(owner: Owner, census: Census) -> bool:
    known = owner.cluster == census.cluster and owner.kind in census.kinds
    return known and owner.identity not in census.living


def _in_present_life(owner: Owner, census: Census) -> Owner:
    living = census.living.get(owner.identity)
    return owner if living is None or living.uid == owner.uid else msgspec.structs.replace(owner, uid=living.uid)


def _had(ledger: Ledger, identity: Identity) -> frozenset[Address]:
    owner = Owner(kind=identity.kind, namespace=identity.namespace, name=identity.name, cluster=identity.cluster)
    return frozenset(claim.address for claim in ledger.holdings.held(owner))
