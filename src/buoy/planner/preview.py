# SPDX-License-Identifier: Apache-2.0
"""What all nodes would tell their peers for a snapshot, and what differs between two of them.

Promises that this is what the nodes themselves compute: the same `Desired` over the
same documents, for each node. What only a node sees is taken to be well: its
interfaces are up and its service proxy forwards, so a route that is told of here is
there once that is so.

The tricky thing is who hears of a route: a session that is there in both snapshots
may be told more or less because of a filter, and that is a route that appears or goes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from buoy.model.address import Address, Prefix, contains, family, split
from buoy.model.guest import GuestConfig
from buoy.model.network import Network, Subnet
from buoy.model.node import Node
from buoy.model.nodestate import Announcement, Class, Link, Table
from buoy.model.peer import Action, Filter, Tagged
from buoy.model.proxied import ProxyMode
from buoy.model.reason import Reason, Withhold
from buoy.model.snapshot import Snapshot
from buoy.model.workload import Workload
from buoy.planner.desired import Desired
from buoy.planner.peering import Speaking, speaking, wish
from buoy.planner.peering_names import outward
from buoy.planner.peering_rules import length_bounds
from buoy.planner.peering_sessions import LocalNode, Session
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here


class Route(NamedTuple):
    """A prefix that a node tells of."""

    prefix: Prefix
    node: str


class Told(NamedTuple):
    """With which preference a route is told, on which sessions, and with which communities, sorted."""

    preference: Class
    sessions: tuple[str, ...]
    communities: tuple[str, ...] = ()


class Preview(NamedTuple):
    """What some nodes would do: the routes that some peer hears, their sessions, and addresses that none announces."""

    routes: dict[Route, Told]
    sessions: dict[tuple[str, str], Session]
    """By node and name."""
    withheld: dict[Address, Withhold]
    refused: dict[str, tuple[str, ...]]
    """What of peers, filters and settings would not be in force, by node."""


class Difference(NamedTuple):
    """A route or session that is not the same in both; None on the side where it is not."""

    route: Route
    before: Told | None
    after: Told | None


class Nodes:
    """The planning of nodes, kept after a look, so that the next costs what differs since."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Class, Desired]] = {}

    def look(self, snapshot: Snapshot, nodes: Iterable[str], changed: frozenset[str] | None = None) -> Preview:
        """Return what these nodes would do for a snapshot; one that is not there in the snapshot says nothing.

        `changed` holds the paths that differ since the last look, None where everything may.
        """
        found = Preview({}, {}, {}, {})
        verdicts: dict[Address, list[Withhold | None]] = {}
        wanted = wish(snapshot, {})
        for name in sorted(nodes):
            node = snapshot.documents.get(f"nodes/{name}")
            if not isinstance(node, Node):
                self._kept.pop(name, None)
                continue
            spoken = speaking(LocalNode(name=name, addresses=node.addresses), wanted)
            found.sessions.update({(name, session.name): session for session in spoken.sessions})
            found.refused[name] = tuple(map(str, spoken.refused))
            desired = self._desired(snapshot, node, changed)
            audience = _Audience(spoken, wanted.filters)
            for prefix, preference in _announced(desired):
                if told := audience.of(prefix):
                    found.routes[Route(prefix, name)] = Told(preference, told, _communities(prefix, spoken.tagged))
            for address, verdict in desired.verdicts.items():
                verdicts.setdefault(address, []).append(verdict)
        return found._replace(withheld=_nowhere(verdicts))

    def _desired(self, snapshot: Snapshot, node: Node, changed: frozenset[str] | None) -> Desired:
        preference = Class.DRAIN if node.draining else Class.NORMAL
        before, desired = self._kept.get(node.name, (None, None))
        own = f"workloads/{node.name}/"
        if desired is None or before is not preference or any(path.startswith(own) for path in changed or ()):
            desired, changed = Desired(Here(node.name, _untold, preference)), None
        desired.update(snapshot, changed, Sight(_links(snapshot, node.name), ProxyMode.UNCHECKED))
        self._kept[node.name] = preference, desired
        return desired


def preview(snapshot: Snapshot, nodes: Iterable[str]) -> Preview:
    """Return what these nodes would do for a snapshot, looked at once."""
    return Nodes().look(snapshot, nodes)


def differences(before: Mapping[Route, Told], after: Mapping[Route, Told]) -> tuple[Difference, ...]:
    """Return the routes that differ, sorted."""
    found = (Difference(route, before.get(route), after.get(route)) for route in sorted(before.keys() | after.keys()))
    return tuple(each for each in found if each.before != each.after)


def gone(before: Mapping[Route, Told], after: Mapping[Route, Told]) -> float:
    """Return which part of the routes would go, 0 to 1."""
    return len(before.keys() - after.keys()) / len(before) if before else 0.0


def _links(snapshot: Snapshot, node: str) -> dict[str, Link]:
    guests = (each for each in snapshot.documents.values() if isinstance(each, Workload) and each.node == node)
    return {guest.interface: Link(guest.interface, 1, up=True) for guest in guests}


def _untold(_workload: Workload, _subnets: Mapping[str, Subnet], _network: Network | None) -> GuestConfig | None:
    """Tell a guest nothing: no route depends on it."""
    return None


class _Audience:
    """By which of a node's sessions a route becomes known outside."""

    def __init__(self, spoken: Speaking, filters: Iterable[Filter]) -> None:
        self._filters = {each.name: each for each in filters}
        self._of: dict[int, list[Session]] = {}
        for version in (4, 6):
            carrying = [each for each in spoken.sessions if version == family(each.remote) or each.other is not None]
            told = outward((each.name for each in carrying), {each.name for each in carrying if each.inside})
            self._of[version] = sorted((each for each in carrying if each.name in told), key=attrgetter("name"))

    def of(self, prefix: Prefix) -> tuple[str, ...]:
        """Return the sessions that tell of a prefix, sorted."""
        heard = (each for each in self._of[family(prefix)] if each.tells)
        return tuple(each.name for each in heard if accepts(self._filters.get(each.export_filter), prefix))


def _announced(desired: Desired) -> Iterator[tuple[Prefix, Class]]:
    for key, entry in desired.state.items():
        if key.table is Table.ANNOUNCEMENT and isinstance(entry, Announcement):
            yield Prefix(key.name[0]), entry.preference


def _communities(prefix: Prefix, tagged: Sequence[Tagged]) -> tuple[str, ...]:
    if not tagged:
        return ()
    address, length = split(prefix)
    around = (each for each in tagged if contains(each.prefix, address) and length >= split(each.prefix)[1])
    return tuple(sorted({community for each in around for community in each.communities}))


def accepts(document: Filter | None, prefix: Prefix) -> bool:
    """Tell whether a filter lets a route pass: the first rule that matches decides, without one it does."""
    if document is None:
        return True
    address, length = split(prefix)
    for rule in document.rules:
        low, high = length_bounds(rule)
        if contains(rule.prefix, address) and low <= length <= high:
            return rule.action is Action.ACCEPT
    return True


def _nowhere(verdicts: Mapping[Address, Collection[Withhold | None]]) -> dict[Address, Withhold]:
    """Return the addresses that no node announces, nor a prefix for them, and what the first node says of it."""
    found: dict[Address, Withhold] = {}
    for address, said in verdicts.items():
        noes = [each for each in said if each is not None]
        if len(noes) == len(said) and all(each.reason is not Reason.COVERED_BY_AGGREGATE for each in noes):
            found[address] = noes[0]
    return found
