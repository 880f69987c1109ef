# SPDX-License-Identifier: Apache-2.0
"""Who has which address as the API server says it, as we are about to write it, and as Services show it.

Promises that the ledger, by which addresses are chosen, knows all three. The tricky
thing is what is under way: a claim that was decided on counts at once, so that no
two decisions choose one address; and what some Service shows is taken, for whoever
claims it and even if nobody does: packets for it go there.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from buoy.controller.subject import Claim
from buoy.ipam.ledger import Ledger, put_aside
from buoy.model.address import Address
from buoy.model.proxied import Backing, Kind
from buoy.model.service_ip import Identity, ServiceIP
from buoy.store.api_names import ObjectName


class Books:
    """The claims as they were last heard of, and the ledger over everything."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.claims: dict[Address, Claim] = {}
        self._of: defaultdict[Identity, set[Address]] = defaultdict(set)
        self._assumed: dict[Address, ServiceIP] = {}
        self._shown_by: defaultdict[Address, set[ObjectName]] = defaultdict(set)
        self._unreadable: set[Address] = set()
        self._aside: defaultdict[str, set[Address]] = defaultdict(set)

    def put(self, at: Address, claim: Claim | None) -> Claim | None:
        """Take in what an address's claim is now; return what it was."""
        before = self.claims.pop(at, None)
        self._unreadable.discard(at)
        self._put_aside(before, claim)
        for owner in before.document.owners if before else ():
            self._of[owner.identity].discard(at)
            if not self._of[owner.identity]:
                del self._of[owner.identity]
        if claim is not None:
            self.claims[at] = claim
            for owner in claim.document.owners:
                self._of[owner.identity].add(at)
        self._refresh(at)
        return before

    def block(self, at: Address) -> None:
        """Take an address for taken whose claim cannot be read."""
        self._unreadable.add(at)
        self._refresh(at)

    def is_blocked(self, at: Address) -> bool:
        """Tell whether an address is taken by a claim that cannot be read."""
        return at in self._unreadable

    def show(self, name: ObjectName, before: Iterable[Address], now: Iterable[Address]) -> None:
        """Take in which addresses a Service shows."""
        for at in before:
            self._shown_by[at].discard(name)
        for at in now:
            self._shown_by[at].add(name)
        for at in {*before, *now}:
            if not self._shown_by[at]:
                del self._shown_by[at]
            self._refresh(at)

    def assume(self, document: ServiceIP) -> None:
        """Take a claim for written, until `settle`."""
        self._assumed[document.address] = document
        self._refresh(document.address)

    def settle(self, at: Address) -> bool:
        """Take a claim as it was last heard of; tell whether it was assumed to be another."""
        if self._assumed.pop(at, None) is None:
            return False
        self._refresh(at)
        return True

    def of(self, identity: Identity) -> tuple[Claim, ...]:
        """Return the claims that name an object, by address."""
        return tuple(self.claims[at] for at in sorted(self._of.get(identity, ())))

    def _put_aside(self, before: Claim | None, claim: Claim | None) -> None:
        """What another registry gave us stands in a claim with its id: nobody has it, so it is ours to give."""
        was, now = (put_aside([each.document] if each else []) for each in (before, claim))
        for pool in {*was, *now}:
            aside = self._aside[pool]
            aside.difference_update(was.get(pool, ()))
            aside.update(now.get(pool, ()))
            self.ledger.put_aside(pool, aside)

    def _refresh(self, at: Address) -> None:
        claim = self.claims.get(at)
        document = self._assumed.get(at) or (claim.document if claim else None)
        shown = tuple(
            Backing(service=str(name), kind=Kind.LOAD_BALANCER) for name in sorted(self._shown_by.get(at, ()))
        )
        if document is None and not shown and at not in self._unreadable:
            self.ledger.remove(at)
        else:
            self.ledger.put(msgspec.structs.replace(document or ServiceIP(address=at), backings=shown))
