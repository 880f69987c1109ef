# SPDX-License-Identifier: Apache-2.0
"""What somebody else attaches to this node, and a claim leads to: whether the host has a route to it, for the planner.

Promises that it is looked at before anything is decided of the claim, and no longer than there is one. The tricky
thing: a network plugin that makes a route anew deletes the former first. To take an address away ends its connections,
so a route that goes is missed a moment later; one that was never there is missed at once.
"""

import math
from collections.abc import Collection, Mapping

import msgspec

from buoy.dataplane.driver import Host
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.planner.placement import attached
from buoy.planner.sight import Sight

PATIENCE = 0.5
"""Seconds in which a route that went is expected back."""


class AttachedHere:
    """The addresses by claim; a change of a claim that leads to none costs nothing."""

    def __init__(self, node: str, host: Host) -> None:
        self._node = node
        self._host = host
        self._by_claim: dict[str, frozenset[Address]] = {}
        self._missed: dict[Address, float] = {}
        """Until when a route that went is expected back."""

    def take(self, documents: Mapping[str, Document], changed: Collection[str] | None) -> None:
        """Hear of changed documents; None: of all."""
        before = dict(self._by_claim)
        for path in (*documents, *before) if changed is None else changed:
            self._by_claim.pop(path, None)
            if found := attached(documents.get(path), self._node):
                self._by_claim[path] = found
        if before != self._by_claim:
            self._host.attached.follow(frozenset().union(*self._by_claim.values()))

    def unhurried(self, changed: Collection[Address], now: float) -> frozenset[Address]:
        """Return which addresses to look at now, of those whose route came or went and of those that waited."""
        unrouted = self._host.attached.unrouted()
        for address in changed:
            if address in unrouted:
                self._missed.setdefault(address, now + PATIENCE)
            else:
                self._missed.pop(address, None)
        over = {address for address, until in self._missed.items() if until <= now}
        for address in over:
            del self._missed[address]
        return frozenset(over | set(changed) - self._missed.keys())

    def wait(self, now: float) -> float:
        """Return in how many seconds `unhurried` has something to tell by itself, infinite if it has not."""
        return min(self._missed.values(), default=math.inf) - now

    def seen(self, sight: Sight) -> Sight:
        """Return a sight in which what is expected back is there."""
        return msgspec.structs.replace(sight, unrouted=frozenset(sight.unrouted) - self._missed.keys())
