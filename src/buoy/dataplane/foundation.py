# SPDX-License-Identifier: Apache-2.0
"""What the node as a whole must have for any tap to be of use: forwarding, and the rule of the ARP table.

Promises: `right` is what the kernel said last; `look` changes nothing, `lay` only
what is missing. The tricky thing: whoever turns forwarding off turns it off on every
interface, and each of ours is then repaired by itself; what comes in by the uplink
is still not forwarded.
"""

import struct

from buoy.dataplane import netlink, rtnl, sysctls
from buoy.model.ownership import ARP_MARK, ARP_TABLE


class Foundation:
    """The node's own settings, in the network namespace of the channel."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self.right = False

    def look(self) -> bool:
        """Ask the kernel; tell whether something is gone that was there."""
        was, self.right = self.right, sysctls.forwards() and self._has_rule()
        return was and not self.right

    def lay(self) -> None:
        """Put in place what is missing; raise `DataplaneError` or `Refusal` naming what was refused."""
        sysctls.prepare(self._channel)
        self.look()

    def _has_rule(self) -> bool:
        wanted = {rtnl.RULE_MARK: ARP_MARK, rtnl.RULE_TABLE: ARP_TABLE}
        packed = {kind: struct.pack("=I", value) for kind, value in wanted.items()}
        found = (netlink.attributes(payload, 12) for _, payload in self._channel.dump(rtnl.rule_dump()))
        return any(packed.items() <= rule.items() for rule in found)
