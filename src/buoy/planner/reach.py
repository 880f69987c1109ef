# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a cluster are to announce an address, and which say that they do, as the store alone tells it.

Promises that a node is said to decide what it decides, for the same function does, and that asking for each of
thousands of addresses costs one look at the documents. The tricky thing is an address that no node is to announce:
each node has a reason, and the one that helps is that of a node which has an endpoint.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from buoy.model.address import Address, Prefix, family
from buoy.model.node import Node
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.status import AddressStatus
from buoy.planner.aggregates import aggregates, unforwarded
from buoy.planner.contest import Contest
from buoy.planner.index import Facts, Reader
from buoy.planner.proxied import SETTINGS, attracting, listed
from buoy.planner.sight import Sight

_OF_ALL = frozenset({Reason.NOT_ADVERTISED, Reason.COVERED_BY_AGGREGATE, Reason.NO_SERVICE})
"""What is said of an address whatever the node."""


class Reach:
    """The nodes of a snapshot, and what they say of each address."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        documents = snapshot.documents.values()
        found = sorted((each for each in documents if isinstance(each, Eligibility)), key=lambda each: each.node)
        self._eligible = {each.node: each for each in found}
        self.nodes = tuple(self._eligible)
        """The nodes of a cluster; none of a cloud."""
        self._problems = {each.name: each.problems for each in documents if isinstance(each, Node)}
        self.living = frozenset(self._problems)
        """The nodes whose agents live."""
        self._said: defaultdict[Address, list[AddressStatus]] = defaultdict(list)
        for each in documents:
            if isinstance(each, AddressStatus):
                self._said[each.address].append(each)

    def statuses(self, address: Address) -> list[AddressStatus]:
        """Return what the nodes say of an address, in the order of their names."""
        return sorted(self._said.get(address, ()), key=lambda status: status.node)

    def announcing(self, address: Address, besides: str = "") -> list[str]:
        """Return the nodes that say they announce an address."""
        found = self.statuses(address)
        return [each.node for each in found if each.announced and each.programmed and each.node != besides]

    def told(self, address: Address) -> bool:
        """Tell whether a node whose agent lives says that it announces an address."""
        return not self.living.isdisjoint(self.announcing(address))

    def decisions(self, service: ServiceIP) -> dict[str, Withhold | None]:
        """Return for each node of the cluster why it is not to announce an address."""
        return {node: self._decided(service, node) for node in self.nodes or ("",)}

    def lawful(self, service: ServiceIP, nodes: Iterable[str]) -> frozenset[str]:
        """Return which of these nodes may announce an address, if only until another does."""
        decided = self.decisions(service)
        leaving = {node for backing in service.backings for node in backing.draining}
        return frozenset(node for node in nodes if node in leaving or (node in decided and decided[node] is None))

    def nowhere(self, service: ServiceIP) -> Withhold | None:
        """Return why no node is to announce an address that Services have, None if one is.

        The reason is COVERED_BY_AGGREGATE where its prefix is announced instead, and by some node.
        """
        noes: list[Withhold] = []
        for node in self._unlike(service):
            no = self._decided(service, node)
            if no is None or no.reason in _OF_ALL:
                return self._uncovered(no) if no is not None else None
            noes.append(no)
        ready = {node for backing in service.backings for node in backing.ready}
        helpful = [no for no in noes if no.details.get("node") in ready] or noes
        return next((no for no in helpful if no.reason is not Reason.NODE_EXCLUDED), helpful[0])

    def _unlike(self, service: ServiceIP) -> Iterator[str]:
        """Yield nodes of which each may decide otherwise: those with endpoints, and one of each sort of the others."""
        ends = {node for each in service.backings for node in (*each.ready, *each.draining)}
        yield from sorted(ends.intersection(self.nodes))
        for excluded in (False, True):
            others = (each.node for each in self._eligible.values() if bool(each.excluded) is excluded)
            yield from islice((node for node in others if node not in ends), 1)
        if not self.nodes:
            yield ""

    def _uncovered(self, no: Withhold) -> Withhold:
        """Return why a prefix is announced by no node either, else what was said."""
        if no.reason is not Reason.COVERED_BY_AGGREGATE:
            return no
        prefix = Prefix(no.details["prefix"])
        kept = [self._keeps(node, prefix) for node in self._eligible.values()]
        why = [each for each in kept if each is not None]
        return why[0] if why and len(why) == len(kept) else no

    def _keeps(self, node: Eligibility, prefix: Prefix) -> Withhold | None:
        """Return why a node does not announce a prefix of Services, by what is wanted of it or by its own word."""
        settings = self._snapshot.documents.get(SETTINGS)
        prefixes = aggregates(settings) if isinstance(settings, BGPSettings) else ()
        if node.excluded:
            details = {"node": node.node, "address": listed(prefixes), "cause": node.excluded}
            return Withhold(Reason.NODE_EXCLUDED, details)
        alike = tuple(each for each in prefixes if family(each) == family(prefix))
        said = self._problems.get(node.node, ())
        # a node that sees no proxy names all of them, one that sees it for one family those of the other
        noes = (unforwarded(prefixes, node.node), unforwarded(alike, node.node))
        return next((no for no in noes if str(no) in said), None)

    def _decided(self, service: ServiceIP, node: str) -> Withhold | None:
        announced: dict[Address, Sequence[str]] = {service.address: self.announcing(service.address)}
        reader = Reader("", Facts(self._snapshot, Sight(), Contest(), {}, announced))
        word = attracting(service, node, reader)
        return word if isinstance(word, Withhold) else None
