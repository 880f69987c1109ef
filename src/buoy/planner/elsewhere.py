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
from buoy.planner.index import announced_fact, announcers_fact

_WAITING = frozenset({Reason.TAP_MISSING, Reason.TAP_DOWN, Reason.NO_ROUTE})


def may_announce(status: AddressStatus) -> bool:
    """Tell whether a node announces an address, or would by itself as soon as its peer, its tap or its route is back.

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
    """The other nodes' word, by address."""

    def __init__(self, node: str) -> None:
        self._own = f"status/{node}/"
        self.announcers: dict[Address, set[str]] = {}
        """The nodes that may announce an address; one that nobody else may announce is not in it."""
        self.announced: dict[Address, set[str]] = {}
        """The same of the nodes that announce it: a peer was told, and what forwards was seen."""

    def take(self, path: str, document: Document | None) -> tuple[str, ...]:
        """Take what now stands under a path; return the facts that changed with that."""
        said = word(path) if path.startswith("status/") and not path.startswith(self._own) else None
        if said is None:
            return ()
        status = document if isinstance(document, AddressStatus) else None
        may = _enter(self.announcers, said, listed=status is not None and may_announce(status))
        does = _enter(self.announced, said, listed=status is not None and status.announced and status.programmed)
        return (announcers_fact(said.address),) * may + (announced_fact(said.address),) * does


def _enter(book: dict[Address, set[str]], said: Word, *, listed: bool) -> bool:
    """Enter or strike out a node; tell whether that changed anything."""
    nodes = book.setdefault(said.address, set())
    changed = listed != (said.node in nodes)
    (nodes.add if listed else nodes.discard)(said.node)
    if not nodes:
        del book[said.address]
    return changed
