# SPDX-License-Identifier: Apache-2.0
"""What a changed fact touches: the reason why a change costs the same at 100 and at 10,000 service IPs.

A subject is computed by a pure function that reads facts through a `Reader`, which
remembers them; when a fact changes, those who read it are computed again. So no
list of dependencies is written by hand, and none can be forgotten.

The tricky thing is the *seat*: an address or interface that several documents
claim. Seats are given by the documents alone, before anything is computed, so that
whoever depends on the holder of a seat can read it as a fact like any other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from buoy.model.address import Address, Prefix, is_host, split
from buoy.model.documents import Document
from buoy.model.nodestate import Entry, Key, Link, Table
from buoy.model.proxied import Proxying, ProxyMode, ProxyPort
from buoy.model.reason import Withhold
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.workload import Workload
from buoy.planner.contest import Bid, Contest, Subject
from buoy.planner.sight import Sight, Stir

_OF_INTERFACE = frozenset({Table.GUARD, Table.LINK})
D = TypeVar("D")
_FIXED, _PAIR = 1, 0
_PROXY = "proxy"
_UNPROXIED = Proxying()


class Wish(msgspec.Struct, frozen=True):
    """What one subject wants of this node.

    `verdicts` tell for each address it speaks of why it is withheld (None: it is placed here);
    `needs` names subjects that exist only because somebody needs them; `refused` is a
    workload's own reason not to be served as a whole.
    """

    entries: Mapping[Key, Bid[Entry]] = {}
    needs: frozenset[Subject] = frozenset()
    verdicts: Mapping[Address, Bid[Withhold | None]] = {}
    refused: Withhold | None = None
    about: Mapping[str, frozenset[Key]] = {}
    """Which entries concern which address, for a subject that may have thousands of them."""


NOTHING = Wish()


class Facts(msgspec.Struct, frozen=True):
    """Where facts are read from: documents, what is seen, who holds which seat, and who else announces an address."""

    snapshot: Snapshot
    sight: Sight
    seats: Contest[str, None]
    announcers: Mapping[Address, Collection[str]] = {}
    announced: Mapping[Address, Collection[str]] = {}


class Reader:
    """One subject's way to the facts; `read` holds the names of those it looked at besides its own document."""

    def __init__(self, subject: Subject, facts: Facts) -> None:
        self.subject = subject
        self.read: set[str] = set()
        self._facts = facts

    def document(self, path: str, struct: type[D]) -> D | None:
        """Return the document at a path if it is one of this kind."""
        if path != self.subject:
            self.read.add(path)
        found: Document | None = self._facts.snapshot.documents.get(path)
        return found if isinstance(found, struct) else None

    def link(self, interface: str) -> Link | None:
        """Return an interface as the kernel shows it."""
        self.read.add(link_fact(interface))
        return self._facts.sight.links.get(interface)

    def service_proxy(self) -> ProxyMode:
        """Return how this node's service proxy works, if one was seen."""
        self.read.add(_PROXY)
        return self._facts.sight.proxy

    def proxies(self, prefix: Prefix) -> bool:
        """Tell whether this node's service proxy was seen for addresses such as these, whatever it does with each."""
        self.read.add(_PROXY)
        return self._facts.sight.proxies(prefix)

    def stuck(self) -> str:
        """Return why what this node's service proxy does may be outdated, empty if it lives as far as is known."""
        self.read.add(_PROXY)
        return self._facts.sight.stuck

    def proxying(self, address: Address) -> Proxying:
        """Return what the service proxy does with an address."""
        self.read.add(proxied_fact(address))
        return self._facts.sight.proxying.get(address, _UNPROXIED)

    def relied(self, address: Address) -> frozenset[ProxyPort] | None:
        """Return which ports of an address are relied on by its announcement; None: this node does not announce it."""
        self.read.add(proxied_fact(address))
        return self._facts.sight.relied.get(address)

    def is_routed(self, address: Address) -> bool:
        """Tell whether the node has a route to what somebody else attaches to it."""
        self.read.add(attached_fact(address))
        return address not in self._facts.sight.unrouted

    def holder(self, seat: str) -> Subject | None:
        """Return which subject holds an address or interface."""
        self.read.add(seat_fact(seat))
        return self._facts.seats.holder(seat)

    def announcers(self, address: Address) -> Collection[str]:
        """Return the other nodes that, by their own word, may announce an address."""
        self.read.add(announcers_fact(address))
        return self._facts.announcers.get(address, ())

    def announced(self, address: Address) -> Collection[str]:
        """Return the other nodes that, by their own word, announce an address now."""
        self.read.add(announced_fact(address))
        return self._facts.announced.get(address, ())


class Dependents:
    """Who read which fact when it was last computed."""

    def __init__(self) -> None:
        self._of: defaultdict[str, set[Subject]] = defaultdict(set)
        self._read: dict[Subject, frozenset[str]] = {}

    def note(self, subject: Subject, read: Iterable[str]) -> None:
        """Remember what a subject read this time, and nothing else."""
        now = frozenset(read)
        before = self._read.pop(subject, frozenset())
        for fact in before - now:
            self._of[fact].discard(subject)
            if not self._of[fact]:
                del self._of[fact]
        for fact in now - before:
            self._of[fact].add(subject)
        if now:
            self._read[subject] = now

    def read(self, fact: str) -> bool:
        """Tell whether anybody read a fact."""
        return fact in self._of

    def of(self, facts: Iterable[str]) -> set[Subject]:
        """Return who must be computed again after these facts changed."""
        return {subject for fact in facts for subject in self._of.get(fact, ())}


def link_fact(interface: str) -> str:
    """Return the name of the fact how an interface is."""
    return f"link:{interface}"


def proxied_fact(address: Address) -> str:
    """Return the name of the fact what is done with an address: by the service proxy, and by announcing it."""
    return f"proxied:{address}"


def attached_fact(address: Address) -> str:
    """Return the name of the fact whether the node has a route to what somebody else attaches to it."""
    return f"attached:{address}"


def stirred(stir: Stir) -> Iterator[str]:
    """Yield the names of the facts that changed with what is seen."""
    yield from map(link_fact, stir.links)
    yield from map(proxied_fact, stir.proxied)
    yield from map(attached_fact, stir.attached)
    if stir.proxy:
        yield _PROXY


def seat_fact(seat: str) -> str:
    """Return the name of the fact who holds an address or interface."""
    return f"seat:{seat}"


def announcers_fact(address: Address) -> str:
    """Return the name of the fact who else may announce an address."""
    return f"announcers:{address}"


def announced_fact(address: Address) -> str:
    """Return the name of the fact who else announces an address."""
    return f"announced:{address}"


def interface_seat(interface: str) -> str:
    """Return the seat of an interface, which no address can be taken for."""
    return f"dev {interface}"


def seats(document: Document | None, node: str, revision: int) -> Mapping[str, Bid[None]]:
    """Return the addresses and interfaces a document claims on a node.

    A fixed address beats an allowed pair, then the higher store revision wins: what was said last is meant.
    """
    match document:
        case Workload(node=at) if at == node:
            pairs = (split(pair.prefix)[0] for pair in document.pairs if is_host(pair.prefix))
            return {
                **{pair: Bid((_PAIR, revision), None) for pair in pairs},
                **{fixed.address: Bid((_FIXED, revision), None) for fixed in document.fixed_ips},
                interface_seat(document.interface): Bid((_FIXED, revision), None),
            }
        case ServiceIP(address=address, mode=Mode.TRANSLATED) if any(end.node == node for end in document.endpoints):
            return {address: Bid((_FIXED, revision), None)}
    return {}


def about(entries: Iterable[Key]) -> dict[str, frozenset[Key]]:
    """Return the keys by the address they name, as it is or as host prefix; under "" those that concern every one."""
    found: defaultdict[str, set[Key]] = defaultdict(set)
    for key in entries:
        for name in ("",) if key.table in _OF_INTERFACE else key.name:
            found[split(Prefix(name))[0] if "/" in name else name].add(key)
    return {name: frozenset(keys) for name, keys in found.items()}
