# SPDX-License-Identifier: Apache-2.0
"""Whether this host has a route to what somebody else attaches to it, such as a pod that a network plugin connects.

Promises that the kernel is asked, with its rules and tables, and asked again about whatever a notification leaves in
doubt; about everything after a lost one, and where all is read afresh. The tricky thing is the default route, which
leads everywhere: by it packets leave the host again, so it is none. Nor is one by a link that has no carrier.
"""

from collections.abc import Collection

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.links import Links
from buoy.dataplane.rtnl import RouteSeen
from buoy.model.address import Address, contains, is_host, split


class AttachedToHost:
    """The addresses that are followed, and those of them to which no route leads: implements `Attached`."""

    def __init__(self, channel: netlink.Channel, links: Links) -> None:
        self._channel = channel
        self._links = links
        self._followed: frozenset[Address] = frozenset()
        self._unrouted: frozenset[Address] = frozenset()
        self._doubted: set[Address] = set()

    def follow(self, addresses: Collection[Address]) -> None:
        """Look at these from now on, and at no others."""
        come = frozenset(addresses) - self._followed
        self._followed = frozenset(addresses)
        self._doubted &= self._followed
        self._unrouted = self._unrouted & self._followed | self._without_route(come)

    def unrouted(self) -> frozenset[Address]:
        """Return to which of them there was no route when last looked."""
        return self._unrouted

    def doubt(self) -> None:
        """Ask about all of them before the next answer."""
        self._doubted |= self._followed

    def heard(self, event: netlink.Heard) -> None:
        """Take one notification; only those of routes matter."""
        if not self._followed or event.kind not in (rtnl.NEWROUTE, rtnl.DELROUTE):
            return
        route = rtnl.parse_route(event.payload)
        if route is None:
            return
        if is_host(route.prefix):
            # nearly all are, for BIRD has a route for every address of the cloud
            self._doubted |= self._followed & {split(route.prefix)[0]}
        else:
            self._doubted |= {address for address in self._followed if contains(route.prefix, address)}

    def news(self) -> frozenset[Address]:
        """Return the addresses to which a route came or went since the last call."""
        doubted, self._doubted = self._doubted, set()
        before = self._unrouted
        self._unrouted = before - doubted | self._without_route(doubted)
        return before ^ self._unrouted

    def _without_route(self, addresses: Collection[Address]) -> frozenset[Address]:
        return frozenset(address for address in addresses if not self._is_routed(address))

    def _is_routed(self, address: Address) -> bool:
        try:
            told = self._channel.ask(rtnl.route_request(address))
        except netlink.Refusal:
            return False
        return any(not rtnl.is_down(payload) and self._leads(rtnl.parse_route(payload)) for payload in told)

    def _leads(self, route: RouteSeen | None) -> bool:
        # that an interface goes down is told before its routes go, which is not
        return route is not None and split(route.prefix)[1] > 0 and not self._links.is_down(route.variant.ifindex)
