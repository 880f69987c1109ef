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
    """The lowest address."""
    last: Address
    """The highest address, of the same family."""


class Selector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A label selector as Kubernetes has it: all of `labels`, and all of `expressions`, must match."""

    labels: Mapping[str, str] = {}
    """Each of these labels with its value."""
    expressions: tuple["Expression", ...] = ()
    """What else is demanded of labels."""


class Operator(enum.StrEnum):
    """What an expression demands of a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Expression(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One requirement on the label `key`; `values` are for In and NotIn."""

    key: str
    """The label."""
    operator: Operator
    """Whether its value is among `values`, is not, or whether the label is there at all."""
    values: tuple[str, ...] = ()
    """With In and NotIn: the values."""


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
    """Networks to give addresses from, such as ``192.0.2.0/24``: all of them, the first and the last one, too."""
    registry: Registry = Registry.STORE
    """Who keeps the books: the store, or Neutron for a pool that is a subnet of Neutron's."""
    subnet: str = ""
    """The id of the Neutron subnet, where the pool is not called after it."""
    direction: Direction = Direction.BOTH
    """Which connections a floating IP from it serves, unless its claim says otherwise."""
    description: str = ""
    """For people."""
    ranges: tuple[Range, ...] = ()
    """Ranges to give addresses from, besides the prefixes."""
    exclude: tuple[Prefix, ...] = ()
    """Networks inside that are not given from, such as ``192.0.2.1/32`` for a router."""
    automatic: bool = True
    """Whether it is drawn from unasked; else only by who names it, or an address in it."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that may draw, besides those that a selector matches; neither given: all."""
    namespace_selectors: tuple[Selector, ...] = ()
    """Selectors of labels of namespaces; one that matches suffices."""
    services: tuple[Selector, ...] = ()
    """Selectors of labels of what draws; one that matches suffices, none given: all may."""
    priority: int = 0
    """The pool with the highest is asked first; of equal ones, the first by name."""
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
