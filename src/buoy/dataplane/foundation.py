# SPDX-License-Identifier: Apache-2.0
"""What the node as a whole must have for any tap to be of use: forwarding, and the rule of the ARP table.

Promises: `right` is what the kernel said last; `look` changes nothing, `lay` only
what is missing. Two things are tricky. Whoever turns forwarding off turns it off on every
interface, and each of ours is then repaired by itself; what comes in by the uplink
is still not forwarded. And IPv4 may be turned off on an uplink alone: of others' interfaces
only those towards BGP peers are looked at, for only by them guests are reached.
"""

import struct
from collections.abc import Callable, Collection

from buoy.dataplane import netlink, rtnl, sysctls
from buoy.model.address import Address
from buoy.model.ownership import ARP_MARK, ARP_TABLE


class Foundation:
    """The node's own settings, in the network namespace of the channel; `name` is asked for an interface's name."""

    def __init__(self, channel: netlink.Channel, name: Callable[[int], str]) -> None:
        self._channel = channel
        self._name = name
        self._peers: frozenset[Address] = frozenset()
        self.right = False
        self.closed: tuple[str, ...] = ()
        """The uplinks that forwarded no IPv4 when last looked, though the node did."""
        self._refused: frozenset[str] = frozenset()
        """Those of them that could not be opened: taps are of use to guests of this node all the same."""

    def follow(self, peers: Collection[Address]) -> bool:
        """Take the interfaces towards these for the uplinks from now on; tell whether they are others than before."""
        before, self._peers = self._peers, frozenset(peers)
        return before != self._peers

    def look(self) -> bool:
        """Ask the kernel; tell whether something is gone that was there."""
        self.closed = sysctls.closed(self._uplinks())
        self._refused = self._refused.intersection(self.closed)
        opened = self._refused.issuperset(self.closed)
        was, self.right = self.right, sysctls.forwards() and opened and self._has_rule()
        return was and not self.right

    def lay(self) -> None:
        """Put in place what is missing; raise `DataplaneError` or `Refusal` naming what was refused.

        An uplink that cannot be opened is no error: `closed` says so, and only a person can do more.
        """
        sysctls.prepare(self._channel)
        self._refused = frozenset(sysctls.open_up(self._uplinks()))
        self.look()

    def _uplinks(self) -> list[str]:
        return sorted({self._name(index) for peer in self._peers for index in self._ways(peer)})

    def _ways(self, peer: Address) -> frozenset[int]:
        try:
            told = self._channel.ask(rtnl.route_request(peer))
        except netlink.Refusal:
            return frozenset()
        return frozenset().union(*map(rtnl.ways, told))

    def _has_rule(self) -> bool:
        wanted = {rtnl.RULE_MARK: ARP_MARK, rtnl.RULE_TABLE: ARP_TABLE}
        packed = {kind: struct.pack("=I", value) for kind, value in wanted.items()}
        found = (netlink.attributes(payload, 12) for _, payload in self._channel.dump(rtnl.rule_dump()))
        return any(packed.items() <= rule.items() for rule in found)
