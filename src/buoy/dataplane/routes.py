# SPDX-License-Identifier: Apache-2.0
"""Driver of routes, announcements, discards and neighbours.

Promises: only what carries our protocol is ever deleted; a changed route is
added before the old one goes, so that peers see no withdraw; observation comes
from notifications, not from what we meant to do. The tricky thing: one prefix
may hold several routes of ours after a crash; such an entry is observed as one
that equals no wish, and its repair removes what is too much. A route of ours
that another's comes before, or a rule leads past, is none, and is refused, for only its owner may remove that.
"""

import itertools
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from buoy.dataplane import netlink, rivals, rtnl
from buoy.dataplane.detours import Detours
from buoy.dataplane.links import Links
from buoy.dataplane.route_mirror import FAMILIES, TABLES, Place, RouteMirror
from buoy.dataplane.rtnl import RouteSeen, Variant
from buoy.model.address import Address, Mac, Prefix, family
from buoy.model.errors import Bug, DataplaneError
from buoy.model.nodestate import (
    Announcement,
    Change,
    Class,
    Discard,
    Entry,
    Failure,
    Key,
    Neighbour,
    NodeState,
    Route,
    Step,
    Table,
)
from buoy.model.ownership import ANNOUNCE_TABLE, MAIN_TABLE, ROUTE_METRIC

_EEXIST, _ENOENT, _ESRCH, _ENODEV = 17, 2, 3, 19
_GONE = (_ENOENT, _ESRCH, _ENODEV)
_BULK = 4096
"""Requests between two looks at the monitor, whose buffer would not hold the echo of everything at once."""
_CLASSES = {int(value) for value in Class}


class Routes:
    """Driver of ROUTE, ANNOUNCEMENT, DISCARD and NEIGHBOUR; `settle` brings the mirror up to date."""

    def __init__(self, channel: netlink.Channel, links: Links, settle: Callable[[], None]) -> None:
        self._channel = channel
        self._links = links
        self._settle = settle
        self._routes = RouteMirror(channel)
        self._rivals = rivals.Rivals(channel)
        self._detours = Detours(channel)
        self._neighbours: dict[tuple[int, Address], Mac | None] = {}
        self._noticed: set[Key] = set()
        self._read = False
        """Whether everything was observed once; the first time, what was read when this was made is fresh."""

    def reload(self) -> set[Key]:
        """Read everything afresh; return the keys that changed."""
        return {key for read in self.parts() for key in read()}

    def parts(self) -> Iterator[Callable[[], set[Key]]]:
        """Yield what reads a part afresh and returns the keys that changed, for who has no time for all at once."""
        for table, version in itertools.product(TABLES, FAMILIES):
            yield partial(self._reload_routes, table, version)
        for version in FAMILIES:
            yield partial(self._reload_neighbours, version)
        yield self._reload_rivals
        yield self.rules_heard

    def _reload_routes(self, table: int, version: int) -> set[Key]:
        return {key for place in self._routes.reload(table, version) for key in _keys(place)}

    def _reload_neighbours(self, version: int) -> set[Key]:
        fresh = {}
        for _, payload in self._channel.dump(rtnl.neighbour_dump(version)):
            seen = rtnl.parse_neighbour(payload)
            if seen is not None and seen.ours:
                fresh[(seen.ifindex, seen.address)] = seen.mac
        known = {at for at in self._neighbours if (":" in at[1]) == (version == socket.AF_INET6)}
        differ = {at for at in known | fresh.keys() if self._neighbours.get(at, "") != fresh.get(at, "")}
        for at in known - fresh.keys():
            del self._neighbours[at]
        self._neighbours |= fresh
        return {self._neighbour_key(*at) for at in differ}

    def link_lost(self, indexes: Iterable[int]) -> set[Key]:
        """Read again what went with links that went down or away; return the keys that changed."""
        indexes = set(indexes)
        changed = {key for place in self._routes.reload_links(indexes) for key in _keys(place)}
        return changed | self._reload_rivals()

    def _reload_rivals(self) -> set[Key]:
        return {
            Key(Table.ROUTE, (prefix,)) for prefix in self._rivals.reload() if self._routes.at((MAIN_TABLE, prefix))
        }

    def rules_heard(self) -> set[Key]:
        """Read the rules again; return the keys of our routes that those which came or went may lead past."""
        return {key for to in self._detours.reload() for key in self._inside(to)}

    def _inside(self, prefix: Prefix) -> set[Key]:
        """Return the keys of our routes to addresses in a prefix."""
        return {Key(Table.ROUTE, (each,)) for each in self._routes.hosts(prefix)}

    def heard(self, event: netlink.Heard) -> set[Key]:
        """Take one route or neighbour notification; return the keys it changed."""
        if event.kind in (rtnl.NEWROUTE, rtnl.DELROUTE):
            route = rtnl.parse_route(event.payload)
            return self._route_heard(event, route) if route else set()
        seen = rtnl.parse_neighbour(event.payload)
        if seen is None:
            return set()
        at = (seen.ifindex, seen.address)
        had = at in self._neighbours
        before = self._neighbours.get(at)
        key = self._neighbour_key(*at)
        if event.kind == rtnl.NEWNEIGH and seen.ours:
            self._neighbours[at] = seen.mac
            return set() if had and before == seen.mac else {key}
        self._neighbours.pop(at, None)
        return {key} if had else set()

    def _route_heard(self, event: netlink.Heard, route: RouteSeen) -> set[Key]:
        place = self._routes.heard(event, route)
        rival = self._rivals.heard(event, route) and bool(self._routes.at((MAIN_TABLE, route.prefix)))
        keys = _keys(place) if place else set()
        if rival:
            keys.add(Key(Table.ROUTE, (route.prefix,)))
        return keys | self._inside(route.prefix) if self._detours.leads_to(route) else keys

    def noticed(self) -> set[Key]:
        """Return, once, the keys whose change we came upon while looking: the notification will find it no news."""
        noticed, self._noticed = self._noticed, set()
        return noticed

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries under these keys, from the mirror; None: all, read afresh."""
        if keys is None:
            self._settle()
            if self._read:
                self._noticed |= self.reload()
            self._read = True
            keys = {key for place in self._routes.places() for key in _keys(place)}
            keys |= {self._neighbour_key(*at) for at in self._neighbours}
        found = ((key, self._entry(key)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Make each key hold exactly its wish: first everything that comes, then everything that goes."""
        failures: list[Failure] = []
        coming: list[tuple[Step, bytes]] = []
        for step in steps:
            assert isinstance(step.act, Change)
            try:
                coming.extend((step, request) for request in self._additions(step.act))
            except DataplaneError as error:
                failures.append(Failure(step, str(error)))
        failures += self._send(coming, (_EEXIST,))
        failures += [Failure(step, hidden) for step in steps if (hidden := self._hidden(step.act))]
        refused = {id(failure.step) for failure in failures}
        going = [(s, request) for s in steps if id(s) not in refused for request in self._removals(s.act)]
        return failures + self._send(going, _GONE)

    def _send(self, requests: Sequence[tuple[Step, bytes]], harmless: Collection[int]) -> list[Failure]:
        failures: list[Failure] = []
        for start in range(0, len(requests), _BULK):
            part = requests[start : start + _BULK]
            refusals = self._channel.send([request for _, request in part])
            # the kernel has told our monitor of each of them before it answered us
            self._settle()
            bad = ((part[index][0], refusal) for index, refusal in refusals.items() if refusal.number not in harmless)
            failures += [Failure(step, refusal.stderr) for step, refusal in bad]
        return failures

    def _additions(self, change: Change) -> list[bytes]:
        entry = change.after
        if isinstance(entry, Neighbour):
            interface, address = change.key.name
            flags = netlink.CREATE | netlink.REPLACE
            index = self._links.index(interface)
            return [rtnl.neighbour_message(rtnl.NEWNEIGH, flags, index, Address(address), entry.mac)]
        if entry is None:
            return []
        place, variant = _place(change.key), self._variant(entry)
        present = self._routes.at(place)
        if variant in present:
            return []
        # BIRD knows a route by its metric: for a new interface replace, or its old one's end would withdraw both
        same = place[0] == ANNOUNCE_TABLE and any(other.metric == variant.metric for other in present)
        flags = netlink.CREATE | (netlink.REPLACE if same else 0)
        return [rtnl.route_message(rtnl.NEWROUTE, flags, *place, variant)]

    def _hidden(self, act: object) -> str:
        """Return why a route of ours is of no use; empty if it is."""
        assert isinstance(act, Change)
        if act.key.table is not Table.ROUTE or act.after is None:
            return ""
        prefix = Prefix(act.key.name[0])
        if rival := self._rival(act.key):
            return f"ip route show {prefix}: somebody's route comes before ours; remove it: ip route del {rival}"
        rule, detour = f"ip -{family(prefix)} rule", self._detour(act.key)
        return f"{rule}: somebody's rule leads past our route; remove it: {rule} del {detour}" if detour else ""

    def _rival(self, key: Key) -> str:
        """Return the route that hides one of ours, as `ip route` names it; empty if none does."""
        rival = self._rivals.at(Prefix(key.name[0]))
        return rivals.text(rival, self._links.name(rival.variant.ifindex)) if rival else ""

    def _detour(self, key: Key) -> str:
        """Return the rule that leads past one of ours, as `ip rule` names it; empty if none does."""
        place = _place(key)
        return self._detours.at(place[1], {variant.ifindex for variant in self._routes.at(place)})

    def _removals(self, act: object) -> list[bytes]:
        assert isinstance(act, Change)
        if act.key.table is Table.NEIGHBOUR:
            return self._neighbour_removal(act) if act.after is None else []
        place = _place(act.key)
        present = self._routes.at(place)
        wanted = self._variant(act.after) if act.after is not None else None
        if len(present) == 1 and wanted in present:
            return []
        return [
            rtnl.route_message(rtnl.DELROUTE, 0, *place, variant)
            for variant in present
            if variant != wanted and _about(variant, place) is act.key.table
        ]

    def _neighbour_removal(self, act: Change) -> list[bytes]:
        interface, address = act.key.name
        link = self._links.links().get(interface)
        if link is None or (link.index, Address(address)) not in self._neighbours:
            return []
        return [rtnl.neighbour_message(rtnl.DELNEIGH, 0, link.index, Address(address), None)]

    def _variant(self, entry: Entry) -> Variant:
        if isinstance(entry, Discard):
            return Variant(rtnl.BLACKHOLE, ROUTE_METRIC, 0)
        if isinstance(entry, Route):
            return Variant(rtnl.UNICAST, ROUTE_METRIC, self._links.index(entry.interface))
        if isinstance(entry, Announcement):
            if entry.interface is None:
                return Variant(rtnl.UNREACHABLE, int(entry.preference), 0)
            return Variant(rtnl.UNICAST, int(entry.preference), self._links.index(entry.interface))
        raise Bug(f"no route is made of {entry!r}")

    def _entry(self, key: Key) -> Entry | None:
        if key.table is Table.NEIGHBOUR:
            return self._neighbour_entry(key)
        place = _place(key)
        variants = [variant for variant in self._routes.at(place) if _about(variant, place) is key.table]
        if not variants:
            return None
        if len(variants) == 1 and self._lawful(variants[0], key.table):
            return self._plain(variants[0], key)
        odd = "+".join(sorted(f"{self._links.name(v.ifindex)}/{v.kind}/{v.metric}" for v in variants))
        return Announcement(odd) if key.table is Table.ANNOUNCEMENT else Route(odd)

    def _lawful(self, variant: Variant, table: Table) -> bool:
        metrics = _CLASSES if table is Table.ANNOUNCEMENT else {ROUTE_METRIC}
        kinds = (rtnl.UNICAST, rtnl.UNREACHABLE) if table is Table.ANNOUNCEMENT else (rtnl.UNICAST, rtnl.BLACKHOLE)
        return variant.plain and variant.metric in metrics and variant.kind in kinds

    def _plain(self, variant: Variant, key: Key) -> Entry:
        if key.table is Table.DISCARD:
            return Discard()
        interface = self._links.name(variant.ifindex)
        if key.table is Table.ROUTE:
            return Route(interface, self._rival(key), self._detour(key))
        return Announcement(interface if variant.kind == rtnl.UNICAST else None, Class(variant.metric))

    def _neighbour_entry(self, key: Key) -> Entry | None:
        link = self._links.links().get(key.name[0])
        mac = self._neighbours.get((link.index, Address(key.name[1]))) if link else None
        return Neighbour(mac) if mac else None

    def _neighbour_key(self, index: int, address: Address) -> Key:
        return Key(Table.NEIGHBOUR, (self._links.name(index), address))


def _place(key: Key) -> Place:
    return (ANNOUNCE_TABLE if key.table is Table.ANNOUNCEMENT else MAIN_TABLE), Prefix(key.name[0])


def _about(variant: Variant, place: Place) -> Table:
    if place[0] == ANNOUNCE_TABLE:
        return Table.ANNOUNCEMENT
    return Table.DISCARD if variant.kind == rtnl.BLACKHOLE else Table.ROUTE


def _keys(place: Place) -> set[Key]:
    if place[0] == ANNOUNCE_TABLE:
        return {Key(Table.ANNOUNCEMENT, (place[1],))}
    return {Key(Table.ROUTE, (place[1],)), Key(Table.DISCARD, (place[1],))}
