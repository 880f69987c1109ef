# SPDX-License-Identifier: Apache-2.0
"""BGP: whom a node speaks with, and what it tells them."""

import enum

import msgspec

from buoy.model.address import Address, Prefix
from buoy.model.proxied import Advertised

RESTART_TIME = 30
"""Seconds: a restarted BIRD is back with its sessions in ten, an upgraded one in twenty."""


class Action(enum.StrEnum):
    """What a filter rule does with a route that matches."""

    ACCEPT = "accept"
    REJECT = "reject"


class FilterRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Matches `prefix` and what lies inside it with a length of `low`..`high` (None: the prefix's own .. host)."""

    action: Action
    prefix: Prefix
    low: int | None = None
    high: int | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named export or import filter; the first rule that matches decides, none that matches accepts."""

    schema: int = 1
    name: str
    rules: tuple[FilterRule, ...] = ()


class Bfd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """BFD (RFC 5880): `interval` in milliseconds, silence of `multiplier` intervals is a loss.

    A BIRD that restarts looks to BFD like a node that died (RFC 5882, 4.3). `graceful` says which it is taken
    for: true keeps the routes while graceful restart lasts, false withdraws them at once.
    """

    interval: int = 100
    multiplier: int = 3
    graceful: bool = False


class NextHop(enum.StrEnum):
    """What is told as next hop of routes that a node passes on: by BGP's own rule, the node itself, or as it heard."""

    AUTO = "auto"
    SELF = "self"
    KEEP = "keep"


class Peer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A BGP neighbour of the nodes it is for (`nodes` empty: of all). Times in seconds.

    `graceful_restart_time` is how long the neighbour is asked to keep what a node told it, once their session is lost
    (RFC 4724): longer than BIRD takes to come back, and no longer than packets may go to a node that does not.
    """

    schema: int = 1
    name: str
    address: Address
    asn: int
    nodes: tuple[str, ...] = ()
    local_asn: int | None = None
    port: int = 179
    password: str = ""
    password_from: str = ""
    """In its place a file beneath each agent's `passwords`, such as ``bgp-secrets/tor``: of a Secret, name and key."""
    hold_time: int = 90
    keepalive: int | None = None
    connect_retry: int = 5
    bfd: Bfd | None = None
    graceful_restart: bool = True
    graceful_restart_time: int = RESTART_TIME
    multihop: int | None = None
    ttl_security: bool = False
    """Whether packets from farther away than `multihop`, else from another network, are ignored (RFC 5082)."""
    allow_local_as: int = 0
    """How often our own AS may stand in a path that is taken."""
    next_hop: NextHop = NextHop.AUTO
    source: Address | None = None
    reflector_client: bool = False
    passive: bool = False
    export_filter: str = ""
    import_filter: str = ""


class Tagged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is announced of `prefix` and inside it carries these communities, besides those of other prefixes it is in.

    Each is ``aa:nn`` (RFC 1997) or a large one, ``aa:nn:mm`` (RFC 8092).
    """

    prefix: Prefix
    communities: tuple[str, ...]


class BGPSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cluster's BGP: its AS, a full mesh between nodes or none, route reflectors by node name."""

    schema: int = 1
    asn: int = 64512
    mesh: bool = True
    reflectors: tuple[str, ...] = ()
    cluster_id: Address | None = None
    listen_port: int = 179
    hold_time: int = 90
    graceful_restart_time: int = RESTART_TIME
    password: str = ""
    password_from: str = ""
    """See Peer."""
    bfd: Bfd | None = None
    """Hold time, restart time, password and BFD of the sessions between nodes; peers have their own."""
    internal_prefixes: tuple[Prefix, ...] = ()
    """Besides the internal subnets: destinations to which workloads keep their fixed address."""
    originate: tuple[Prefix, ...] = ()
    """Pool prefixes announced as aggregates and discarded locally."""
    advertise: tuple[Advertised, ...] = ()
    """Prefixes of Services that are announced, and how."""
    node_prefixes: bool = False
    """Whether each node announces its own pod prefixes."""
    communities: tuple[Tagged, ...] = ()
    """With which communities nodes announce what is inside a prefix."""
