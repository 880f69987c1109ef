# SPDX-License-Identifier: Apache-2.0
"""Which other nodes may announce an address: read from their statuses, as they change.

Promises that one status costs the same however many there are. The tricky thing is
that nobody knows beforehand which node an address comes from, least of all after a
restart; so every node's word is kept, and looked up by address alone.
"""

from typing import NamedTuple

from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.reason import Reason
from buoy.model.status import AddressStatus

_WAITING = frozenset({Reason.TAP_MISSING, Reason.TAP_DOWN})


def may_announce(status: AddressStatus) -> bool:
    """Tell whether a node announces an address, or would by itself as soon as its peer or its tap is back.

    By itself: without its agent, or with one that does not hear what it should do now.
    """
    return status.announced or status.programmed or status.reason in _WAITING


class Word(NamedTuple):
    """What a status path says something of."""

    node: str
    address: Address


def word(path: str) -> Word | None:
    """Return of which node and address a path tells, None if it is no address's status."""
    match path.split("/", 3):
        case ["status", node, "address", address]:
            return Word(node, Address(address))
    return None


class Elsewhere:
    """The other nodes' word, by address; the nodes of `announcers` are those that may announce it."""

    def __init__(self, node: str) -> None:
        self._own = f"status/{node}/"
        self.announcers: dict[Address, tuple[str, ...]] = {}
        """The nodes, sorted; an address that nobody else may announce is not in it."""

    def take(self, path: str, document: Document | None) -> Address | None:
        """Take what now stands under a path; return the address if other nodes may announce it than before."""
        said = word(path) if path.startswith("status/") and not path.startswith(self._own) else None
        if said is None:
            return None
        before = self.announcers.get(said.address, ())
        others = tuple(node for node in before if node != said.node)
        listed = isinstance(document, AddressStatus) and may_announce(document)
        after = tuple(sorted((*others, said.node))) if listed else others
        if after:
            self.announcers[said.address] = after
        else:
            self.announcers.pop(said.address, None)
        return said.address if after != before else None
