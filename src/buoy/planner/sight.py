# SPDX-License-Identifier: Apache-2.0
"""What a node sees of itself, as an input of planning: its links, its service proxy, and what it announces by that.

Promises that whatever is decided is a function of documents and of this, so that what
was decided step by step equals what is decided from scratch.

The tricky thing is that to begin announcing takes more than to go on: an address that is
announced must not go because a new port of it is not forwarded yet. So what it announces,
and which ports were forwarded when it last did something about it, is seen like the rest.
"""

from collections.abc import Collection, Mapping

import msgspec

from buoy.model.address import Address, Prefix, family
from buoy.model.nodestate import Link
from buoy.model.proxied import FAMILIES, Proxying, ProxyMode, ProxyPort


class Sight(msgspec.Struct, frozen=True):
    """What a node sees now; the mappings may be live, so that nobody copies ten thousand entries.

    `relied` has each service IP that this node announces, with the ports that were forwarded when it was last
    found so: what was relied on, and is forwarded no more, takes the announcement away.
    """

    links: Mapping[str, Link] = {}
    proxy: ProxyMode = ProxyMode.NONE
    proxying: Mapping[Address, Proxying] = {}
    relied: Mapping[Address, frozenset[ProxyPort]] = {}
    unrouted: Collection[Address] = ()
    """What somebody else attaches to this node, such as a pod, and the node has no route to."""
    families: frozenset[int] = FAMILIES
    """For which IP versions the proxy was seen, where one was."""
    stuck: str = ""
    """Why what the proxy does may be outdated, empty if it lives as far as is known."""

    def proxies(self, prefix: Prefix) -> bool:
        """Tell whether the proxy was seen for addresses such as these, whatever it does with each."""
        return self.proxy is not ProxyMode.NONE and family(prefix) in self.families


class Stir(msgspec.Struct, frozen=True):
    """What of a sight changed since the update before: links by name, the proxy, addresses.

    Of these `proxied` are what the proxy forwards and what is relied on, `attached` what is or was `unrouted`.
    """

    links: frozenset[str] = frozenset()
    proxied: frozenset[Address] = frozenset()
    proxy: bool = False
    attached: frozenset[Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.links or self.proxied or self.proxy or self.attached)
