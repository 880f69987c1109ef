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
    """What becomes of a route that matches."""
    prefix: Prefix
    """The network that routes are compared with."""
    low: int | None = None
    """The shortest length of a prefix that matches; none: that of `prefix`."""
    high: int | None = None
    """The longest length of a prefix that matches; none: a single address."""


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named export or import filter; the first rule that matches decides, none that matches accepts."""

    schema: int = 1
    name: str
    rules: tuple[FilterRule, ...] = ()
    """Looked at in this order."""


class Bfd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """BFD (RFC 5880): `interval` in milliseconds, silence of `multiplier` intervals is a loss.

    A BIRD that restarts looks to BFD like a node that died (RFC 5882, 4.3). `graceful` says which it is taken
    for: true keeps the routes while graceful restart lasts, false withdraws them at once.
    """

    interval: int = 100
    """Milliseconds between two packets."""
    multiplier: int = 3
    """So many intervals without a packet are a loss."""
    graceful: bool = False
    """Whether routes are kept while graceful restart lasts."""


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
    """Where the neighbour is."""
    asn: int
    """The neighbour's AS."""
    nodes: tuple[str, ...] = ()
    """The nodes that speak with it, by name; empty: all."""
    local_asn: int | None = None
    """Our AS towards it, where that is another one than the cluster's."""
    port: int = 179
    """TCP, at the neighbour."""
    password: str = ""
    """For TCP MD5 (RFC 2385), in the open; see `password_from`."""
    password_from: str = ""
    """In its place a file beneath each agent's `passwords`, such as ``bgp-secrets/tor``: of a Secret, name and key."""
    hold_time: int = 90
    """Seconds of silence after which the session is lost; 0: never."""
    keepalive: int | None = None
    """Seconds between two keepalives; none: a third of the hold time."""
    connect_retry: int = 5
    """Seconds between two attempts."""
    bfd: Bfd | None = None
    """Watch the neighbour by BFD; none: do not."""
    graceful_restart: bool = True
    """Whether a restart of BIRD costs no routes (RFC 4724)."""
    graceful_restart_time: int = RESTART_TIME
    """Seconds for which the neighbour is asked to keep routes of a lost session."""
    multihop: int | None = None
    """How many hops away the neighbour is at most; none: in a network of the node's own."""
    ttl_security: bool = False
    """Whether packets from farther away than `multihop`, else from another network, are ignored (RFC 5082)."""
    allow_local_as: int = 0
    """How often our own AS may stand in a path that is taken."""
    next_hop: NextHop = NextHop.AUTO
    """What is told as next hop of routes that are passed on."""
    source: Address | None = None
    """The node's address in the session; none: the one towards the neighbour."""
    reflector_client: bool = False
    """Whether the neighbour is told what others of our AS tell (RFC 4456)."""
    inside: bool = False
    """Whether the neighbour is a node of the cluster: what only such are told is known to no router."""
    fallback: bool = False
    """Whether any other Peer that speaks with the neighbour, and a reflector's session, comes first."""
    passive: bool = False
    """Whether the neighbour is waited for, and not called."""
    export_filter: str = ""
    """The Filter for what it is told; empty: none."""
    import_filter: str = ""
    """The Filter for what it tells; empty: none."""


class Tagged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is announced of `prefix` and inside it carries these communities, besides those of other prefixes it is in.

    Each is ``aa:nn`` (RFC 1997) or a large one, ``aa:nn:mm`` (RFC 8092).
    """

    prefix: Prefix
    """What is announced inside it."""
    communities: tuple[str, ...]
    """Such as ``64512:100`` or ``64512:1:2``."""


class BGPSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cluster's BGP: its AS, a full mesh between nodes or none, route reflectors by node name."""

    schema: int = 1
    asn: int = 64512
    """The cluster's AS."""
    mesh: bool = True
    """Whether all nodes have sessions with each other."""
    reflectors: tuple[str, ...] = ()
    """Nodes that reflect routes between the others, by name."""
    cluster_id: Address | None = None
    """Of the reflectors (RFC 4456); none: each has its own."""
    listen_port: int = 179
    """TCP, at the nodes."""
    hold_time: int = 90
    """Seconds of silence after which a session between nodes is lost."""
    graceful_restart_time: int = RESTART_TIME
    """Seconds for which nodes are asked to keep routes of a lost session."""
    password: str = ""
    """In the open; see `password_from`."""
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
