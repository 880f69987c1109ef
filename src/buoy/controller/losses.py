# SPDX-License-Identifier: Apache-2.0
"""Claims that the store lost: it was set back to a backup, and knows less of who has what than we do.

Promises that what a listing leaves out, or has in an older version, is nobody else's for it: unless the store says
that somebody has the address, the claim is written again as it was known, and marked, so that it stays its owner's
until a person says otherwise. What was released already is written again too, so that it is held down as long as ever.

The tricky thing is what proves a loss. Nothing has to: a claim is deleted by the controller alone, long after its
release, or by a hand, and a watch tells both. Whoever deletes a claim while no watch runs deletes it once more.
"""

from collections.abc import Callable, Iterator

import msgspec

from buoy.controller.subject import Claim
from buoy.model.address import Address
from buoy.model.service_ip import Identity, ServiceIP
from buoy.store.api_objects import number


class Losses:
    """What is to be written again; no claim of it stands in the store as we hold it."""

    def __init__(self) -> None:
        self._addresses: set[Address] = set()

    def __contains__(self, at: Address) -> bool:
        return at in self._addresses

    def __iter__(self) -> Iterator[Address]:
        return iter(sorted(self._addresses))

    def listed(self, at: Address, known: Claim | None, found: Claim | None) -> Claim | None:
        """Return the claim of an address that was found in a listing, or what is to stand in its place."""
        if known is None or not _is_older(found, known) or not _is_worth(known) or _is_live(found):
            self._addresses.discard(at)
            return found
        self._addresses.add(at)
        document = msgspec.structs.replace(known.document, lost=known.document.released is None)
        return Claim(document, found.version if found else "")

    def settle(self, at: Address) -> None:
        """Hear of a claim from a watch, or as it was written: it stands."""
        self._addresses.discard(at)


def found_again(document: ServiceIP, is_there: Callable[[Identity], object]) -> ServiceIP:
    """Return a claim that the store had lost as one like any other, once all who share it are there again."""
    if document.lost and all(is_there(owner.identity) for owner in document.owners):
        return msgspec.structs.replace(document, lost=False)
    return document


def _is_older(found: Claim | None, known: Claim) -> bool:
    return found is None or number(found.version) < number(known.version)


def _is_worth(known: Claim) -> bool:
    """Tell whether a claim says more than that nobody has had the address."""
    return known.document.released is None or bool(known.document.owners)


def _is_live(found: Claim | None) -> bool:
    return found is not None and found.document.released is None
