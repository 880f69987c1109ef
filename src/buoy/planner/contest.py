# SPDX-License-Identifier: Apache-2.0
"""Several subjects may claim one thing; who has it depends on the claims, never on their order.

Promises that the winner is the bid with the highest rank, ties broken by the name
of the subject, after any sequence of `replace`: this is why a state reached step
by step equals one computed from scratch.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeAlias, TypeVar

Subject: TypeAlias = str
"""Who wants something of a node: the path of a document, or ``combination/…`` derived from some."""

Rank: TypeAlias = tuple[int, ...]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bid(NamedTuple, Generic[V]):
    """What a subject claims a thing to be, and how strong the claim is."""

    rank: Rank
    value: V


class Contest(Generic[K, V]):
    """Claims on things of one kind; `won` maps each to the value of its winner."""

    def __init__(self) -> None:
        self.won: dict[K, V] = {}
        self._bids: dict[K, tuple[tuple[Rank, Subject, V], ...]] = {}

    def replace(self, subject: Subject, before: Mapping[K, Bid[V]], after: Mapping[K, Bid[V]]) -> set[K]:
        """Put a subject's claims in the place of its former ones; return what has another winner or value now."""
        changed = set()
        for thing, bid in after.items():
            if (not before or before.get(thing) != bid) and self._put(thing, subject, bid):
                changed.add(thing)
        for thing in before:
            if thing not in after and self._put(thing, subject, None):
                changed.add(thing)
        return changed

    def holder(self, thing: K) -> Subject | None:
        """Return the subject that has a thing."""
        winner = self._winner(thing)
        return winner[0] if winner else None

    def _put(self, thing: K, subject: Subject, bid: Bid[V] | None) -> bool:
        """Set or take back one claim; tell whether the thing has another winner or value now."""
        held = self._bids.get(thing)
        if held is None and bid is not None:
            # nearly every thing has one claimant only: the first listing spends its time here
            self._bids[thing] = ((bid.rank, subject, bid.value),)
            self.won[thing] = bid.value
            return True
        before = self._winner(thing)
        bids = tuple(claim for claim in held or () if claim[1] != subject)
        if bid is not None:
            bids = (*bids, (bid.rank, subject, bid.value))
        if bids:
            self._bids[thing] = tuple(sorted(bids, key=lambda claim: claim[:2]))
            self.won[thing] = self._bids[thing][-1][2]
        else:
            del self._bids[thing], self.won[thing]
        return before != self._winner(thing)

    def _winner(self, thing: K) -> tuple[Subject, V] | None:
        bids = self._bids.get(thing)
        return bids[-1][1:] if bids else None
