# SPDX-License-Identifier: Apache-2.0
"""kube-proxy on this node: a `ServiceProxy` that follows what it writes.

Promises that nothing of kube-proxy's is ever written, and that a node without it
pays for listening only. It listens on a socket of its own: each is sent a clone of
the kernel's message, which costs less than it would to hand kube-proxy's messages
through the driver of our own table, whose losses would then be its losses too.
"""

from collections.abc import Mapping

from buoy.dataplane import netlink, nft_wire
from buoy.dataplane.proxy_maps import ProxyMaps
from buoy.model.address import Address
from buoy.model.proxied import Proxying, ProxyMode


class KubeProxy:
    """The kube-proxy of the network namespace in which this is made."""

    def __init__(self) -> None:
        # the monitor first: what happens between it and the first reading is heard twice, never missed
        self.monitor = netlink.Monitor(netlink.NETFILTER, (nft_wire.GROUP,))
        self.channel = netlink.Channel(netlink.NETFILTER)
        self._maps = ProxyMaps(self.channel.dump)
        self._deaf = True
        self._settle()
        self._maps.changed.clear()
        self._told = self.mode()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when `disturbances` has something to say."""
        return self.monitor.fileno()

    def close(self) -> None:
        """Close both sockets."""
        self.monitor.close()
        self.channel.close()

    def mode(self) -> ProxyMode:
        """Return how it works; NFTABLES as soon as its maps are there, also while they are empty."""
        return ProxyMode.NFTABLES if self._maps.present else ProxyMode.NONE

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return what it does with each address, live."""
        return self._maps.content()

    def disturbances(self) -> tuple[frozenset[Address], bool]:
        """Drain what the kernel told, without blocking; return whose treatment changed, and whether the mode did."""
        self._settle()
        changed = frozenset(self._maps.changed)
        self._maps.changed.clear()
        before, self._told = self._told, self.mode()
        return changed, self._told != before

    def reread(self) -> None:
        """Read everything afresh; what differs is told by `disturbances`."""
        self._deaf = True
        self._settle()

    def _settle(self) -> None:
        heard, lost = self.monitor.drain()
        if lost or self._deaf:
            self._deaf = True
            self._maps.reload()
            self._deaf = False
            heard, lost = self.monitor.drain()
            self._deaf = lost
        for event in heard:
            self._maps.heard(event)
