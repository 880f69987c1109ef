# SPDX-License-Identifier: Apache-2.0
"""Pools: where service IPs come from, and who keeps their books.

A pool names exactly one registry, the one that makes an address unique: Neutron's
database for a pool that is a Neutron subnet, the store for every other.
"""

import enum
from collections.abc import Mapping

import msgspec

from buoy.model.address import Address, Prefix


class Registry(enum.StrEnum):
    """Who guarantees that no address of the pool is given twice."""

    STORE = "store"
    NEUTRON = "neutron"


class Direction(enum.StrEnum):
    """Which connections a translated service IP serves: those to it, those from its endpoint, or both."""

    BOTH = "both"
    INGRESS = "ingress"
    EGRESS = "egress"


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses from `first` to `last`, both included."""

    first: Address
    last: Address


class Selector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A label selector as Kubernetes has it: all of `labels`, and all of `expressions`, must match."""

    labels: Mapping[str, str] = {}
    expressions: tuple["Expression", ...] = ()


class Operator(enum.StrEnum):
    """What an expression demands of a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Expression(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One requirement on the label `key`; `values` are for In and NotIn."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


HOLD_DOWN = 300.0
"""Seconds: longer than a peer keeps a route it should not have any more."""

REMEMBER = 86_400.0
"""Seconds: an object that is deleted and made again within a day has its address again."""


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prefixes and ranges to allocate service IPs from; `name` is the Neutron subnet id where Neutron keeps the books.

    Who may draw: the namespaces that are named or selected (neither given: all), and of their objects those that
    a selector in `services` matches (none given: all). The pool with the highest `priority` is asked first.
    """

    schema: int = 1
    name: str
    prefixes: tuple[Prefix, ...] = ()
    registry: Registry = Registry.STORE
    subnet: str = ""
    """The id of the Neutron subnet, where the pool is not called after it."""
    direction: Direction = Direction.BOTH
    description: str = ""
    ranges: tuple[Range, ...] = ()
    exclude: tuple[Prefix, ...] = ()
    automatic: bool = True
    """Whether it is drawn from unasked; else only by who names it, or an address in it."""
    namespaces: tuple[str, ...] = ()
    namespace_selectors: tuple[Selector, ...] = ()
    services: tuple[Selector, ...] = ()
    priority: int = 0
    quota: int | None = None
    """How many addresses of it a namespace may have; None: any number."""
    hold_down: float = HOLD_DOWN
    """Seconds until a released address is given to somebody else."""
    draining: bool = False
    """Whether nobody gets a new address from it, while those who have one keep it."""
    avoid_end_addresses: bool = False
    """Whether IPv4 addresses ending in .0 and .255 are left out, for clients that cannot reach them."""
    remember: float = REMEMBER
    """Seconds a released address is kept in mind for its former owner; after the hold-down others may take it."""
    share_across_namespaces: bool = False
    """Whether objects of several namespaces may share an address; else a key is good within its namespace only."""
    aliases: tuple[str, ...] = ()
    """Other names of the pool, such as Contrail's ``domain:project:network:name``."""
