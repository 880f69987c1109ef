# SPDX-License-Identifier: Apache-2.0
"""Claims by what they are asked for: address, owner, sharing key; and how many addresses each namespace has.

Promises that all of it is what the claims say, after any sequence of changes. The
tricky thing: an owner stands in a claim also after its release, as who had it last.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeVar

from buoy.ipam.blocks import number
from buoy.model.address import Address, family
from buoy.model.service_ip import Identity, Owner, ServiceIP

Name = TypeVar("Name")


class Holdings:
    """The claims that stand, indexed."""

    def __init__(self) -> None:
        self.claims: dict[Address, ServiceIP] = {}
        self._of_owner: defaultdict[Identity, set[Address]] = defaultdict(set)
        self._of_key: defaultdict[tuple[str, str], set[Address]] = defaultdict(set)
        self._of_namespace: Counter[tuple[str, str, str]] = Counter()

    def put(self, claim: ServiceIP) -> None:
        """Take in a claim as it now is."""
        self.remove(claim.address)
        self.claims[claim.address] = claim
        for owner in claim.owners:
            self._of_owner[owner.identity].add(claim.address)
        if claim.released is None:
            self._of_namespace.update(_namespaces(claim))
            for key in _keys(claim):
                self._of_key[key].add(claim.address)

    def remove(self, at: Address) -> ServiceIP | None:
        """Forget the claim of an address; return it, None if there was none."""
        claim = self.claims.pop(at, None)
        if claim is None:
            return None
        for owner in claim.owners:
            _discard(self._of_owner, owner.identity, at)
        if claim.released is None:
            for key in _keys(claim):
                _discard(self._of_key, key, at)
            for namespace in _namespaces(claim):
                self._of_namespace[namespace] -= 1
                if not self._of_namespace[namespace]:
                    del self._of_namespace[namespace]
        return claim

    def held(self, owner: Owner) -> tuple[ServiceIP, ...]:
        """Return what an object has, by address."""
        return tuple(claim for claim in self._sorted(self._of_owner.get(owner.identity, ())) if claim.released is None)

    def former(self, owner: Owner) -> tuple[ServiceIP, ...]:
        """Return what an object had last and released, the latest first."""
        found = self._sorted(self._of_owner.get(owner.identity, ()))
        ended = [(claim.released, claim) for claim in found if claim.released is not None]
        return tuple(claim for _, claim in sorted(ended, key=_when, reverse=True))

    def shared(self, cluster: str, key: str) -> tuple[ServiceIP, ...]:
        """Return what objects of a cluster share under a key, by address."""
        return self._sorted(self._of_key.get((cluster, key), ()))

    def count(self, pool: str, owner: Owner) -> int:
        """Return how many addresses of a pool the owner's namespace has."""
        return self._of_namespace[pool, owner.cluster, owner.namespace]

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return how many addresses each namespace has: pool, cluster, namespace → number."""
        return dict(self._of_namespace)

    def _sorted(self, addresses: Iterable[Address]) -> tuple[ServiceIP, ...]:
        return tuple(self.claims[at] for at in sorted(addresses, key=lambda at: (family(at), number(at))))


def _when(ended: tuple[dt.datetime, ServiceIP]) -> dt.datetime:
    return ended[0]


def _namespaces(claim: ServiceIP) -> set[tuple[str, str, str]]:
    """An address that several objects of a namespace share is one address of its quota."""
    return {(claim.pool, owner.cluster, owner.namespace) for owner in claim.owners}


def _keys(claim: ServiceIP) -> set[tuple[str, str]]:
    return {(owner.cluster, claim.sharing) for owner in claim.owners if claim.sharing}


def _discard(index: dict[Name, set[Address]], name: Name, at: Address) -> None:
    index[name].discard(at)
    if not index[name]:
        del index[name]
