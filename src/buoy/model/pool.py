# SPDX-License-Identifier: Apache-2.0
"""Pools: where service IPs come from, and who keeps their books.

A pool names exactly one registry, the one that makes an address unique: Neutron's
database for a pool that is a Neutron subnet, the store for every other.
"""

import enum

import msgspec

from buoy.model.address import Prefix


class Registry(enum.StrEnum):
    """Who guarantees that no address of the pool is given twice."""

    STORE = "store"
    NEUTRON = "neutron"


class Direction(enum.StrEnum):
    """Which connections a translated service IP serves: those to it, those from its endpoint, or both."""

    BOTH = "both"
    INGRESS = "ingress"
    EGRESS = "egress"


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prefixes to allocate service IPs from; `name` is the Neutron subnet id where Neutron keeps the books."""

    schema: int = 1
    name: str
    prefixes: tuple[Prefix, ...]
    registry: Registry = Registry.STORE
    direction: Direction = Direction.BOTH
    description: str = ""
