# SPDX-License-Identifier: Apache-2.0
"""Routes of others to our addresses that the kernel prefers to ours.

Promises: they are never touched, only known, so that an address whose packets go
another way is not called served. Two things are tricky. BIRD has a route for every
address of the cloud, so a dump asks for the protocols of people and their scripts
alone; a preferred route of any other protocol is known from when it is told. And of
two routes of one metric, who was there first does not tell: the kernel is asked.
"""

import socket

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.rtnl import RouteSeen
from buoy.model.address import Prefix, is_host, split
from buoy.model.ownership import MAIN_TABLE, ROUTE_METRIC, ROUTE_PROTOCOL

_BY_HAND = (3, 4)
"""RTPROT_BOOT, which `ip route add` writes, and RTPROT_STATIC."""
_WORDS = {rtnl.BLACKHOLE: "blackhole ", rtnl.UNREACHABLE: "unreachable "}


class Rivals:
    """Others' routes in table main that may come before ours, by prefix."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._routes: dict[Prefix, set[RouteSeen]] = {}

    def at(self, prefix: Prefix) -> RouteSeen | None:
        """Return the route that the kernel prefers to ours, None if there is none."""
        if prefix not in self._routes:
            return None
        found = min(self._routes[prefix], key=_metric)
        return None if _metric(found) == ROUTE_METRIC and self._ours_is_taken(prefix) else found

    def heard(self, event: netlink.Heard, seen: RouteSeen) -> bool:
        """Take one notification; tell whether it made or unmade a rival."""
        if seen.protocol == ROUTE_PROTOCOL and seen.prefix not in self._routes:
            return False
        before = self._routes.get(seen.prefix, set())
        routes = set(before)
        if event.flags & netlink.REPLACE and seen.table == MAIN_TABLE:
            # what was replaced is not told of by a message of its own
            routes = {rival for rival in routes if _metric(rival) != _metric(seen)}
        if seen.protocol != ROUTE_PROTOCOL and _prevails(seen):
            (routes.add if event.kind == rtnl.NEWROUTE else routes.discard)(seen)
        if routes:
            self._routes[seen.prefix] = routes
        else:
            self._routes.pop(seen.prefix, None)
        return routes != before

    def _ours_is_taken(self, prefix: Prefix) -> bool:
        try:
            told = self._channel.ask(rtnl.route_request(split(prefix)[0]))
        except netlink.Refusal:
            # it leads nowhere, as ours never does
            return False
        return any(seen is not None and seen.protocol == ROUTE_PROTOCOL for seen in map(rtnl.parse_route, told))

    def reload(self) -> set[Prefix]:
        """Read afresh; return the prefixes that got a rival or lost theirs."""
        routes: dict[Prefix, set[RouteSeen]] = {}
        before, self._routes = self._routes, routes
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in _BY_HAND:
                for _, payload in self._channel.dump(rtnl.route_dump(family, MAIN_TABLE, protocol=protocol)):
                    seen = rtnl.parse_route(payload)
                    if seen is not None and seen.protocol == protocol and _prevails(seen):
                        routes.setdefault(seen.prefix, set()).add(seen)
        return {prefix for prefix in before.keys() | routes.keys() if before.get(prefix) != routes.get(prefix)}


def text(rival: RouteSeen, interface: str) -> str:
    """Return how `ip route` names a rival by an interface, if it is by any."""
    kind, metric, index, _ = rival.variant
    way = f" dev {interface}" if index else ""
    return f"{_WORDS.get(kind, '')}{rival.prefix}{way} metric {metric} proto {rival.protocol}"


def _metric(seen: RouteSeen) -> int:
    return seen.variant.metric


def _prevails(seen: RouteSeen) -> bool:
    return seen.table == MAIN_TABLE and is_host(seen.prefix) and _metric(seen) <= ROUTE_METRIC
