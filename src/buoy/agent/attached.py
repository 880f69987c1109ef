# SPDX-License-Identifier: Apache-2.0
"""What somebody else attaches to this node, and a claim leads to: the host is to keep an eye on its addresses.

Promises that they are looked at before anything is decided of the claim, and no longer than there is one.
"""

from collections.abc import Collection, Mapping

from buoy.dataplane.driver import Host
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.planner.placement import attached


class AttachedHere:
    """The addresses by claim; a change of a claim that leads to none costs nothing."""

    def __init__(self, node: str, host: Host) -> None:
        self._node = node
        self._host = host
        self._by_claim: dict[str, frozenset[Address]] = {}

    def take(self, documents: Mapping[str, Document], changed: Collection[str] | None) -> None:
        """Hear of changed documents; None: of all."""
        before = dict(self._by_claim)
        for path in (*documents, *before) if changed is None else changed:
            self._by_claim.pop(path, None)
            if found := attached(documents.get(path), self._node):
                self._by_claim[path] = found
        if before != self._by_claim:
            self._host.attached.follow(frozenset().union(*self._by_claim.values()))
