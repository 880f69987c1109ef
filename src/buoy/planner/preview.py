# SPDX-License-Identifier: Apache-2.0
"""What all nodes would tell their peers for a snapshot, and what differs between two of them.

Promises that this is what the nodes themselves compute: the same `Desired` over the
same documents, for each node. What only a node sees is taken to be well: its
interfaces are up and its service proxy forwards, so a route that is told of here is
there once that is so.

The tricky thing is who hears of a route: a session that is there in both snapshots
may be told more or less because of a filter, and that is a route that appears or goes.
"""

from collections.abc import Collection, Iterable, Mapping
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
from buoy.planner.peering import LocalNode, Session, outward, speaking, wish
from buoy.planner.peering_rules import length_bounds
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

    routes: Mapping[Route, Told]
    sessions: Mapping[tuple[str, str], Session]
    """By node and name."""
    withheld: Mapping[Address, Withhold]
    refused: Mapping[str, tuple[str, ...]]
    """What of peers, filters and settings would not be in force, by node."""


class Difference(NamedTuple):
    """A route or session that is not the same in both; None on the side where it is not."""

    route: Route
    before: Told | None
    after: Told | None


def preview(snapshot: Snapshot, nodes: Iterable[str]) -> Preview:
    """Return what these nodes would do for a snapshot; a node that is not there in the snapshot says nothing."""
    routes: dict[Route, Told] = {}
    sessions: dict[tuple[str, str], Session] = {}
    refused: dict[str, tuple[str, ...]] = {}
    verdicts: dict[Address, list[Withhold | None]] = {}
    wanted = wish(snapshot, {})
    filters = {each.name: each for each in wanted.filters}
    for name in sorted(nodes):
        node = snapshot.documents.get(f"nodes/{name}")
        if not isinstance(node, Node):
            continue
        spoken = speaking(LocalNode(name=name, addresses=node.addresses), wanted)
        sessions |= {(name, session.name): session for session in spoken.sessions}
        refused[name] = tuple(map(str, spoken.refused))
        desired = _desired(snapshot, node)
        for key, entry in desired.state.items():
            if key.table is Table.ANNOUNCEMENT and isinstance(entry, Announcement):
                prefix = Prefix(key.name[0])
                told = _hearing(prefix, spoken.sessions, filters)
                if told:
                    routes[Route(prefix, name)] = Told(entry.preference, told, _communities(prefix, spoken.tagged))
        for address, verdict in desired.verdicts.items():
            verdicts.setdefault(address, []).append(verdict)
    return Preview(routes, sessions, _nowhere(verdicts), refused)


def differences(before: Mapping[Route, Told], after: Mapping[Route, Told]) -> tuple[Difference, ...]:
    """Return the routes that differ, sorted."""
    found = (Difference(route, before.get(route), after.get(route)) for route in sorted(before.keys() | after.keys()))
    return tuple(each for each in found if each.before != each.after)


def gone(before: Mapping[Route, Told], after: Mapping[Route, Told]) -> float:
    """Return which part of the routes would go, 0 to 1."""
    return len(before.keys() - after.keys()) / len(before) if before else 0.0


def _desired(snapshot: Snapshot, node: Node) -> Desired:
    guests = (each for each in snapshot.documents.values() if isinstance(each, Workload) and each.node == node.name)
    links = {guest.interface: Link(guest.interface, 1, up=True) for guest in guests}
    desired = Desired(Here(node.name, _untold, Class.DRAIN if node.draining else Class.NORMAL))
    desired.update(snapshot, None, Sight(links, ProxyMode.UNCHECKED))
    return desired


def _untold(_workload: Workload, _subnets: Mapping[str, Subnet], _network: Network | None) -> GuestConfig | None:
    """Tell a guest nothing: no route depends on it."""
    return None


def _hearing(prefix: Prefix, sessions: Iterable[Session], filters: Mapping[str, Filter]) -> tuple[str, ...]:
    """Return the sessions by which a route becomes known outside."""
    carried = {each.name: each for each in sessions if _carries(each, prefix)}
    told = outward(session.name for session in sessions)
    return tuple(
        sorted(
            name for name, each in carried.items() if name in told and accepts(filters.get(each.export_filter), prefix)
        )
    )


def _communities(prefix: Prefix, tagged: Iterable[Tagged]) -> tuple[str, ...]:
    address, length = split(prefix)
    around = (each for each in tagged if contains(each.prefix, address) and length >= split(each.prefix)[1])
    return tuple(sorted({community for each in around for community in each.communities}))


def _carries(session: Session, prefix: Prefix) -> bool:
    return family(prefix) == family(session.remote) or session.other is not None


def accepts(document: Filter | None, prefix: Prefix) -> bool:
    """Tell whether a filter lets a route pass: the first rule that matches decides, without one it does."""
    address, length = split(prefix)
    for rule in document.rules if document else ():
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
