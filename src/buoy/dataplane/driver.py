# SPDX-License-Identifier: Apache-2.0
"""The contract of a driver: show what is ours, make one plan's steps true.

A driver decides nothing. Adding what is there and removing what is not there
are successes. A step that the host refuses is returned as a `Failure`; the
other steps go on. Results are never cached as truth: `observe` looks.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from buoy.model.address import Address, Prefix
from buoy.model.node import PeerSession
from buoy.model.nodestate import Failure, Key, Link, NodeState, Step
from buoy.model.proxied import FAMILIES, Proxying, ProxyMode
from buoy.model.reason import Withhold


class Driver(Protocol):
    """One plane of the host: routes, nft, links, DHCP."""

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries under these keys; None: all of ours, read afresh from the host."""

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Perform steps of one phase, in their order; return those the host refused."""


class Disturbance(msgspec.Struct, frozen=True):
    """What the host did by itself or by another's hand since we last looked.

    `keys` are entries that changed, `links` interfaces that came, went or changed
    state; `overrun` means notifications were lost: observe everything again.
    `proxied` are addresses with which the service proxy does something else now,
    `proxy` that it came, went or works in another mode; `attached` are addresses
    that somebody else attaches to the host, to which a route came or went.
    """

    keys: frozenset[Key] = frozenset()
    links: frozenset[str] = frozenset()
    overrun: bool = False
    restored: int = 0
    """How often static parts, which are no entries, had to be put back."""
    proxied: frozenset[Address] = frozenset()
    proxy: bool = False
    attached: frozenset[Address] = frozenset()


class Flows(Protocol):
    """The connections a host tracks, apart from those that a plan ends."""

    def judge(self, service_ips: Collection[Address]) -> None:
        """Begin to end what is to or from these and is translated otherwise than the host would do it now."""

    def go_on(self) -> bool:
        """Judge as many as take some milliseconds; return whether there are more, False if nothing was begun."""


class Afresh(Protocol):
    """The host read anew, for not all that happens to it is told."""

    def parts(self) -> Iterator[frozenset[Key]]:
        """Read a part at each step; what differs from what was told is a disturbance from then on.

        Yields keys of which nothing is ever told: whoever wants to know looks at them.
        """


class ServiceProxy(Protocol):
    """What forwards packets to Services on this node, as the kernel shows it: only looked at, never changed.

    All answer from a mirror, which is read whole before the first answer and which `Host.disturbances` keeps:
    what differs from the answer before was told there. What nobody told, `Afresh` finds.
    """

    def mode(self) -> ProxyMode:
        """Return how it works; NONE if it was not seen, UNCHECKED if the operator wants nobody to look."""

    def families(self) -> frozenset[int]:
        """Return for which IP versions it was seen: none if it was not seen, both if nobody is to look."""

    def stuck(self) -> str:
        """Return why what it does may be older than what it was told, empty if it lives as far as is known."""

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return what it does with each address it knows; may be live, so do not keep it over `disturbances`."""


class Attached(Protocol):
    """What somebody else attaches to this host, such as pods: only looked at, never changed."""

    def follow(self, addresses: Collection[Address]) -> None:
        """Look at these from now on, and at no others; what is new here is looked at at once."""

    def unrouted(self) -> frozenset[Address]:
        """Return to which of them no route leads but the default one; it changes with `Host.disturbances` alone."""


class Uplinks(Protocol):
    """The interfaces towards the BGP peers: by them packets come for guests, and go on."""

    def follow(self, peers: Collection[Address]) -> None:
        """Take the interfaces by which packets to these leave for the uplinks from now on."""

    def closed(self) -> tuple[str, ...]:
        """Return the names of those that forward no IPv4, though the node does: what nobody may write stays so."""


class NoServiceProxy:
    """A node on which no service proxy is looked for: a `ServiceProxy`."""

    def mode(self) -> ProxyMode:
        """Return that none was seen."""
        return ProxyMode.NONE

    def families(self) -> frozenset[int]:
        """Return none."""
        return frozenset()

    def stuck(self) -> str:
        """Return that nothing is known against it."""
        return ""

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return nothing."""
        return {}


class UncheckedServiceProxy:
    """A service proxy that the operator vouches for: a `ServiceProxy`."""

    def mode(self) -> ProxyMode:
        """Return that nobody is to look."""
        return ProxyMode.UNCHECKED

    def families(self) -> frozenset[int]:
        """Return both, for it is vouched for as a whole."""
        return FAMILIES

    def stuck(self) -> str:
        """Return that nothing is known against it."""
        return ""

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return nothing."""
        return {}


class Host(Protocol):
    """All drivers of one node as one; whoever observes changes nothing by that."""

    flows: Flows
    afresh: Afresh
    proxy: ServiceProxy
    attached: Attached
    uplinks: Uplinks

    def links(self) -> Mapping[str, Link]:
        """Return every interface by name, from the mirror that notifications keep."""

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries under these keys; None: all of ours, read afresh."""

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Perform the steps phase by phase; stop before a phase that would break the promise."""

    def disturbances(self) -> Disturbance:
        """Drain the kernel's notifications without blocking; put static parts back that another's hand changed."""


class Speaker(Protocol):
    """The BGP speaker of a node."""

    inside: frozenset[str]
    """The sessions with other nodes of the cluster that Peers make; whoever configures says so."""

    def sessions(self) -> tuple[PeerSession, ...]:
        """Return every BGP session; raise `DataplaneError` if the speaker does not answer."""

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        """Tell for each prefix why no established peer is told of it; None: at least one is."""

    def configure(self, text: str) -> None:
        """Check and load a configuration; raise `DataplaneError` and keep the old one if it is refused."""
