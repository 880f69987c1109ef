# SPDX-License-Identifier: Apache-2.0
"""What is ours in the kernel's route tables, kept by notifications.

Promises: `seen` maps (table, prefix) to every variant of ours, also those no
running version would make, so that a crash between adding one and deleting
another is visible. The tricky thing: when a link goes down the kernel drops its
IPv4 routes without a word, so links tell us which interfaces to dump again.
"""

import itertools
import socket
from collections.abc import Iterable
from typing import TypeAlias

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.rtnl import RouteSeen, Variant
from buoy.model.address import Prefix, contains, is_host, split
from buoy.model.ownership import ANNOUNCE_TABLE, MAIN_TABLE, ROUTE_PROTOCOL

Place: TypeAlias = tuple[int, Prefix]
TABLES = (MAIN_TABLE, ANNOUNCE_TABLE)
FAMILIES = (socket.AF_INET, socket.AF_INET6)


class RouteMirror:
    """Our routes by place; every method that changes it returns the places that changed."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._seen: dict[Place, frozenset[Variant]] = {}
        self._by_index: dict[int, set[Place]] = {}

    def at(self, place: Place) -> frozenset[Variant]:
        """Return our routes of one prefix in one table."""
        return self._seen.get(place, frozenset())

    def places(self) -> Iterable[Place]:
        """Return every place that holds a route of ours."""
        return self._seen.keys()

    def hosts(self, prefix: Prefix) -> list[Prefix]:
        """Return the addresses in a prefix to which table main holds a route of ours."""
        if is_host(prefix):
            return [prefix] if self.at((MAIN_TABLE, prefix)) else []
        ours = (each for table, each in self._seen if table == MAIN_TABLE and is_host(each))
        return [each for each in ours if contains(prefix, split(each)[0])]

    def reload(self, table: int, family: int) -> set[Place]:
        """Read one table's routes of one family afresh."""
        fresh: dict[Place, set[Variant]] = {}
        for seen in self._dump(table, family, 0):
            fresh.setdefault((table, seen.prefix), set()).add(seen.variant)
        six = family == socket.AF_INET6
        known = {place for place in self._seen if place[0] == table and (":" in place[1]) == six}
        changed = {place for place in fresh.keys() | known if self.at(place) != fresh.get(place, set())}
        for place in changed:
            self._set(place, frozenset(fresh.get(place, ())))
        return changed

    def reload_links(self, indexes: Iterable[int]) -> set[Place]:
        """Read again the routes of links that went down or away."""
        return {place for index in indexes if self._by_index.get(index) for place in self._reload_link(index)}

    def heard(self, event: netlink.Heard, seen: RouteSeen) -> Place | None:
        """Take one notification, of this route; return its place if that changed what is ours there."""
        if seen.table not in TABLES:
            return None
        place = (seen.table, seen.prefix)
        before = self.at(place)
        after = before - {seen.variant} if seen.protocol == ROUTE_PROTOCOL else before
        if event.kind == rtnl.NEWROUTE:
            if event.flags & netlink.REPLACE:
                # what was replaced is not told of by a message of its own
                after = frozenset(variant for variant in after if variant.metric != seen.variant.metric)
            if seen.protocol == ROUTE_PROTOCOL:
                after |= {seen.variant}
        if after == before:
            return None
        self._set(place, after)
        return place

    def _reload_link(self, index: int) -> set[Place]:
        fresh: dict[Place, set[Variant]] = {}
        for table, family in itertools.product(TABLES, FAMILIES):
            for seen in self._dump(table, family, index):
                fresh.setdefault((table, seen.prefix), set()).add(seen.variant)
        changed = set()
        for place in self._by_index.get(index, set()) | fresh.keys():
            others = {variant for variant in self.at(place) if variant.ifindex != index}
            after = frozenset(others | fresh.get(place, set()))
            if after != self.at(place):
                self._set(place, after)
                changed.add(place)
        return changed

    def _dump(self, table: int, family: int, index: int) -> Iterable[RouteSeen]:
        try:
            for _, payload in self._channel.dump(rtnl.route_dump(family, table, index)):
                seen = rtnl.parse_route(payload)
                if seen is not None and (seen.table, seen.protocol) == (table, ROUTE_PROTOCOL):
                    yield seen
        except netlink.Refusal as refusal:
            # a table nobody has put a route into yet, or an interface that is gone, holds nothing
            if refusal.number not in (2, 19):
                raise

    def _set(self, place: Place, variants: frozenset[Variant]) -> None:
        for variant in self.at(place):
            self._by_index.get(variant.ifindex, set()).discard(place)
        if not variants:
            self._seen.pop(place, None)
            return
        self._seen[place] = variants
        for variant in variants:
            self._by_index.setdefault(variant.ifindex, set()).add(place)
