# SPDX-License-Identifier: Apache-2.0
"""Who waits for what: so that a *no* ends by itself when its cause goes, and nobody else is looked at.

Promises that whoever was refused is found again when a pool appears or changes, and
when an address is freed that the refusal names, or that is of a pool it names; in
the order in which they began to wait.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from buoy.model.address import Address
from buoy.model.refusal import AllocationReason, Cause
from buoy.model.service_ip import Identity

_ELSEWHERE = frozenset({AllocationReason.NONE_PUT_ASIDE, AllocationReason.ADDRESS_NOT_PUT_ASIDE})


class Lack(NamedTuple):
    """What another registry has not put aside for us yet: this address of a pool, or (empty) any."""

    pool: str
    address: Address


class Waiting:
    """Objects that lack something, by what they may get it from."""

    def __init__(self) -> None:
        self.stirred: set[str] = set()
        """Pools for which others wait than before; to be emptied by who reads it."""
        self.lacks: dict[Identity, tuple[Lack, ...]] = {}
        """What of it is to be had of another registry."""
        self._tokens: dict[Identity, frozenset[str]] = {}
        self._by_token: defaultdict[str, dict[Identity, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._tokens)

    def wait(self, identity: Identity, causes: Collection[Cause]) -> None:
        """Note what an object lacks, and no more what it lacked before; without a cause it lacks nothing."""
        self._note_lacks(identity, causes)
        tokens = frozenset(
            f"{field}/{cause.details[field]}"
            for cause in causes
            for field in ("pool", "address")
            if field in cause.details
        )
        if causes and self._tokens.get(identity) == tokens:
            return
        self._stop(identity)
        if causes:
            self._tokens[identity] = tokens
            for token in tokens:
                self._by_token[token][identity] = None
                self._stir(token)

    def stop(self, identity: Identity) -> None:
        """Forget an object."""
        self.lacks.pop(identity, None)
        self._stop(identity)

    def _stop(self, identity: Identity) -> None:
        for token in self._tokens.pop(identity, frozenset()):
            waiting = self._by_token[token]
            waiting.pop(identity, None)
            self._stir(token)
            if not waiting:
                del self._by_token[token]

    def _note_lacks(self, identity: Identity, causes: Iterable[Cause]) -> None:
        lacks = tuple(
            Lack(cause.pool, Address(cause.details.get("address", "")))
            for cause in causes
            if cause.reason in _ELSEWHERE
        )
        if lacks:
            self.lacks[identity] = lacks
        else:
            self.lacks.pop(identity, None)

    def of_pool(self, name: str) -> int:
        """Return how many wait that were refused by a pool."""
        return len(self._by_token.get(f"pool/{name}", ()))

    def everybody(self) -> tuple[Identity, ...]:
        """Return all who wait: a pool has appeared or changed."""
        return tuple(self._tokens)

    def freed(self, pools: Iterable[str], address: Address) -> tuple[Identity, ...]:
        """Return who may get something now that an address of these pools was released, or is held down no more."""
        tokens = (f"address/{address}", *(f"pool/{pool}" for pool in pools))
        found = (self._by_token.get(token, {}) for token in tokens)
        return tuple(dict.fromkeys(identity for waiting in found for identity in waiting))

    def _stir(self, token: str) -> None:
        kind, _, name = token.partition("/")
        if kind == "pool":
            self.stirred.add(name)
