"""Routes of others to our addresses that the kernel prefers to ours.

Promises: they are never touched, only known, so that an address whose packets go
another way is not called served. The tricky thing: BIRD has a route for every
address of the cloud, so a dump asks for the protocols of people and their scripts
alone; a preferred route of any other protocol is known from when it is told.
"""

import socket

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.rtnl import RouteSeen
from buoy.model.address import Prefix, is_host
from buoy.model.ownership import MAIN_TABLE, ROUTE_METRIC, ROUTE_PROTOCOL

_BY_HAND = (3, 4)
"""RTPROT_BOOT, which `ip route add` writes, and RTPROT_STATIC."""


class Rivals:
    """Metrics of others' routes in table main, by prefix."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._metrics: dict[Prefix, set[int]] = {}

    def at(self, prefix: Prefix) -> int | None:
        """Return the metric of the route that the kernel prefers to ours, None if there is none."""
        return min(self._metrics.get(prefix, ()), default=None)

    def heard(self, kind: int, seen: RouteSeen) -> bool:
        """Take one notification; tell whether it made or unmade a rival."""
        if seen.protocol == ROUTE_PROTOCOL or not _prevails(seen):
            return False
        metrics = self._metrics.setdefault(seen.prefix, set())
        before = set(metrics)
        (metrics.add if kind == rtnl.NEWROUTE else metrics.discard)(seen.variant.metric)
        if not metrics:
            del self._metrics[seen.prefix]
        return metrics != before

    def reload(self) -> set[Prefix]:
        """Read afresh; return the prefixes that got a rival or lost theirs."""
        metrics: dict[Prefix, set[int]] = {}
        before, self._metrics = self._metrics, metrics
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in _BY_HAND:
                for _, payload in self._channel.dump(rtnl.route_dump(family, MAIN_TABLE, protocol=protocol)):
                    seen = rtnl.parse_route(payload)
                    if seen is not None and seen.protocol == protocol and _prevails(seen):
                        metrics.setdefault(seen.prefix, set()).add(seen.variant.metric)
        return {prefix for prefix in before.keys() | metrics.keys() if before.get(prefix) != metrics.get(prefix)}


def _prevails(seen: RouteSeen) -> bool:
    return seen.table == MAIN_TABLE and is_host(seen.prefix) and seen.variant.metric < ROUTE_METRIC
