# SPDX-License-Identifier: Apache-2.0
"""What a node says of itself: what it observed of one address or one workload, and how far it has heard."""

import enum
from collections.abc import Mapping

import msgspec

from buoy.model.address import Address
from buoy.model.reason import Reason


class State(enum.StrEnum):
    """ACTIVE was observed, DOWN has a lawful reason, ERROR needs a person."""

    ACTIVE = "active"
    DOWN = "down"
    ERROR = "error"


class AddressStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One service IP on one node: ACTIVE only when forwarding and announcement were both observed.

    `revision` is the store revision of the documents this was decided from.
    """

    schema: int = 1
    node: str
    """Who says it."""
    address: Address
    """Of what it is said."""
    state: State
    """Whether it is well there."""
    programmed: bool = False
    """Whether forwarding was seen."""
    announced: bool = False
    """Whether the announcement was seen."""
    reason: Reason | None = None
    """Why not."""
    details: Mapping[str, str] = {}
    """More of the reason, by name."""
    revision: int = 0
    """The store revision this was decided from."""


class WorkloadStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One port on one node: ACTIVE only when its tap was seen and everything for it was verified."""

    schema: int = 1
    node: str
    workload: str
    state: State
    reason: Reason | None = None
    details: Mapping[str, str] = {}
    revision: int = 0
    """The `Workload.revision` this status answers."""


class Witness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node lets the store remember for it: a store in which it is older than it was, was set back to a backup.

    Written by this node's agent alone, and deleted by nobody.
    """

    schema: int = 1
    node: str
    revision: int = 0
    """How far the node had heard the store when it wrote this."""
