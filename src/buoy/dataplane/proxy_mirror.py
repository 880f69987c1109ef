# SPDX-License-Identifier: Apache-2.0
"""kube-proxy on this node: a `ServiceProxy` that follows what it writes, in nftables or iptables mode.

Promises that nothing of kube-proxy's is ever written; that iptables is not looked at
while kube-proxy has its nftables maps; and that what is not seen any more is told
like any other change. It listens on a socket of its own: each is sent a clone of
the kernel's message, which costs less than to hand kube-proxy's messages through
the driver of our own table, whose losses would then be its losses too.
"""

import select
from collections.abc import Mapping

from buoy.dataplane import netlink, nft_wire
from buoy.dataplane.proxy_health import ProxyHealth
from buoy.dataplane.proxy_iptables import ProxyRules
from buoy.dataplane.proxy_maps import ProxyMaps
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyMode


class KubeProxy:
    """The kube-proxy of the network namespace in which this is made; `disturbances` is to be called in the same."""

    def __init__(self) -> None:
        self.health = ProxyHealth()
        # the monitor first: what happens between it and the first reading is heard twice, never missed
        self.monitor = netlink.Monitor(netlink.NETFILTER, (nft_wire.GROUP,))
        self.channel = netlink.Channel(netlink.NETFILTER)
        self._maps = ProxyMaps(self.channel.dump)
        self._rules = ProxyRules(self.channel)
        self._deaf = True
        self._settle()
        while self._rules.reading:
            select.select([self._rules], [], [])
            self._settle()
        self._forget_changes()
        self._told = self._whole()

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors that become readable when `disturbances` has something to do."""
        return (self.monitor.fileno(), self._rules.fileno())

    def close(self) -> None:
        """Give all descriptors back."""
        self._rules.close()
        self.monitor.close()
        self.channel.close()

    @property
    def trouble(self) -> str:
        """Why kube-proxy's iptables rules cannot be read, empty if they can or need not."""
        return self._rules.trouble

    def mode(self) -> ProxyMode:
        """Return how it works; NFTABLES as soon as its maps are there, also while they are empty."""
        if self._maps.families:
            return ProxyMode.NFTABLES
        return ProxyMode.IPTABLES if self._rules.families else ProxyMode.NONE

    def families(self) -> frozenset[int]:
        """Return for which IP versions it works so: of one its tables may be gone, or not there yet."""
        return self._maps.families or self._rules.families

    def stuck(self) -> str:
        """Return why its rules may be outdated, by what it says of itself to who asks (`health`)."""
        return self.health.trouble if self.mode() is not ProxyMode.NONE else ""

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return what it does with each address, live."""
        return self._maps.content() if self._maps.families else self._rules.content()

    def disturbances(self) -> tuple[frozenset[Address], bool]:
        """Drain, without blocking, what was told; return whose treatment changed, and whether it did as a whole."""
        self._settle()
        changed = frozenset(self._maps.changed | self._rules.changed)
        self._forget_changes()
        if changed:
            self.health.rules_changed()
        before, self._told = self._told, self._whole()
        return changed, self._told != before

    def reread(self) -> None:
        """Read everything afresh; what differs is told by `disturbances`, of iptables when it has been read."""
        self._deaf = True
        self._settle()

    def _whole(self) -> tuple[ProxyMode, frozenset[int], str]:
        return self.mode(), self.families(), self.stuck()

    def _forget_changes(self) -> None:
        self._maps.changed.clear()
        self._rules.changed.clear()

    def _settle(self) -> None:
        heard, lost = self.monitor.drain()
        if lost or self._deaf:
            self._deaf = True
            self._maps.reload()
            self._rules.doubt()
            heard, self._deaf = self.monitor.drain()
        for event in heard:
            self._maps.heard(event)
            self._rules.heard(event)
        self._rules.turn(wanted=not self._maps.families)
