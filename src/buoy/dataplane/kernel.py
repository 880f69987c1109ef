# SPDX-License-Identifier: Apache-2.0
"""Interfaces, routes and neighbours of one network namespace, kept in step by one monitor.

Promises: after `settle` the mirrors equal the kernel; what others did, and what
the kernel did by itself, is kept until `disturbances` is asked; our own requests
are no disturbance. The tricky thing: one socket carries links and routes, so
their order is the kernel's.
"""

from collections.abc import Collection, Iterator

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.attached import AttachedToHost
from buoy.dataplane.driver import Disturbance
from buoy.dataplane.links import Links
from buoy.dataplane.routes import Routes
from buoy.model.nodestate import Key

_GROUPS = (
    rtnl.GROUP_LINK,
    rtnl.GROUP_NEIGH,
    rtnl.GROUP_ROUTE4,
    rtnl.GROUP_ROUTE6,
    rtnl.GROUP_NETCONF4,
    rtnl.GROUP_NETCONF6,
    rtnl.GROUP_RULE4,
    rtnl.GROUP_RULE6,
)
_RULES = (rtnl.NEWRULE, rtnl.DELRULE)


class Kernel:
    """The rtnetlink side of a host."""

    def __init__(self, foreign: Collection[str] = ()) -> None:
        # the monitor first: what happens between it and the first dump is heard twice, never missed
        self.monitor = netlink.Monitor(netlink.ROUTE, _GROUPS)
        self.channel = netlink.Channel(netlink.ROUTE)
        self.links = Links(self.channel, foreign)
        self.routes = Routes(self.channel, self.links, self.settle)
        self.attached = AttachedToHost(self.channel, self.links)
        self._keys: set[Key] = set()
        self._names: set[str] = set()
        self._lost = False
        self.links.reload()
        self.routes.reload()

    def settle(self) -> None:
        """Take in all notifications that wait."""
        heard, lost = self.monitor.drain()
        if lost:
            self._lost = True
            self.attached.doubt()
            self._names |= self.links.reload()
            self._keys |= self.routes.reload()
            return
        down: set[int] = set()
        for event in heard:
            self._take(event, down)
        if any(event.kind in _RULES for event in heard):
            self._keys |= self.links.foundation_heard() | self.routes.rules_heard()
            self.attached.doubt()
        if down:
            self._keys |= self.routes.link_lost(down)

    def reread(self) -> Iterator[None]:
        """Read everything afresh, a part at each step; what differs is told by `disturbances`."""
        self.settle()
        self._names |= self.links.reload()
        for read in self.routes.parts():
            yield
            self.settle()
            self._keys |= read()
        self.attached.doubt()
        yield

    def disturbances(self) -> Disturbance:
        """Return what others did since the last call."""
        self.settle()
        keys = self._keys | self.links.damaged() | self.routes.noticed()
        names = self._names | self.links.noticed()
        told = Disturbance(frozenset(keys), frozenset(names), self._lost, attached=self.attached.news())
        self._keys, self._names, self._lost = set(), set(), False
        return told

    def close(self) -> None:
        """Close both sockets; the kernel keeps everything."""
        self.monitor.close()
        self.channel.close()

    def _take(self, event: netlink.Heard, down: set[int]) -> None:
        if event.kind in (rtnl.NEWLINK, rtnl.DELLINK):
            seen = rtnl.parse_link(event.payload)
            if seen is not None and (event.kind == rtnl.DELLINK or not seen.up):
                down.add(seen.ifindex)
            self._names |= self.links.heard(event)
            # routes by a link may go without a word
            self.attached.doubt()
        elif event.kind == rtnl.NEWNETCONF:
            self._keys |= self.links.settings_heard(event)
        elif event.kind not in _RULES:
            changed = self.routes.heard(event)
            self.attached.heard(event)
            if event.port != self.channel.port:
                self._keys |= changed
