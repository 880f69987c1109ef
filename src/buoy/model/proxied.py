# SPDX-License-Identifier: Apache-2.0
"""Services: what stands behind a proxied service IP, and what a node's own service proxy does with it.

Promises nothing of its own: kube-proxy, or what replaces it, forwards; these are
the facts by which a node decides whether to announce, and how it sees that packets
would be forwarded. Endpoints are counted by node, for that is all a route depends on.
"""

import enum
from typing import NamedTuple

import msgspec

from buoy.model.address import Address, Prefix


class ProxyPort(NamedTuple):
    """One port of a Service: ``tcp``, ``udp`` or ``sctp``, and its number."""

    protocol: str
    port: int


class Kind(enum.StrEnum):
    """By which field of its Service an address came: `clusterIPs`, `externalIPs` or `status.loadBalancer`."""

    CLUSTER = "cluster"
    EXTERNAL = "external"
    LOAD_BALANCER = "load-balancer"


class Backing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Service behind an address; several may share it, each with ports of its own.

    `local` is `externalTrafficPolicy: Local` (for a cluster IP, `internalTrafficPolicy` where that alone governs it).
    `host_route` asks for a /32 or /128 also where an aggregate would do, `ready` and `draining` are names of nodes,
    sorted: with an endpoint that is ready; with none that is, but one that is terminating and still serves.
    """

    service: str
    """``namespace/name``."""
    kind: Kind
    ports: tuple[ProxyPort, ...] = ()
    local: bool = False
    host_route: bool = False
    ready: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    elsewhere: bool = False
    """Whether an endpoint is ready that is on no node that is known, such as one of a hand-made EndpointSlice."""
    unserved: tuple[ProxyPort, ...] = ()
    """Further ports of the Service, which no endpoint has: they are refused everywhere, and not waited for."""


class Advertised(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prefix whose addresses of these kinds may be announced.

    `aggregate`: as a whole, by every node that may attract traffic; else, or where the traffic policy is Local,
    address by address.
    """

    prefix: Prefix
    """Of Services' addresses."""
    kinds: tuple[Kind, ...]
    """By which fields of their Services they came."""
    aggregate: bool = True
    """Whether as a whole, else address by address."""


class Eligibility(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a node may attract traffic from outside: `excluded` says why not, empty if it may."""

    schema: int = 1
    node: str
    excluded: str = ""
    addresses: tuple[Address, ...] = ()
    prefixes: tuple[Prefix, ...] = ()
    """The node's pod prefixes."""


class ProxyMode(enum.StrEnum):
    """How a node's service proxy was seen to work, or that nothing of one was seen.

    UNCHECKED is what an operator says of a proxy that cannot be looked at: it is taken to forward whatever it should.
    """

    NONE = ""
    NFTABLES = "nftables"
    IPTABLES = "iptables"
    UNCHECKED = "unchecked"


FAMILIES = frozenset({4, 6})
"""The IP versions, for each of which kube-proxy works by tables of its own."""


class Proxying(msgspec.Struct, frozen=True):
    """What the service proxy of a node was seen to do with an address: forward these ports, refuse or drop those.

    A port is in one of the two at most; one of which nothing was seen is in neither.
    """

    forwarded: frozenset[ProxyPort] = frozenset()
    refused: frozenset[ProxyPort] = frozenset()
