# SPDX-License-Identifier: Apache-2.0
"""Security groups and their members: who may talk to a workload."""

import enum

import msgspec

from buoy.model.address import Prefix


class Side(enum.StrEnum):
    """As the guest sees it: ingress is towards the guest."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One *allow*. `protocol` is an IANA number, None for any.

    `first` and `last` are ports, or for ICMP and ICMPv6 type and code; None for any.
    At most one of `prefix` and `group` is given; `group` names a security or address group.
    """

    side: Side
    family: int
    protocol: int | None = None
    first: int | None = None
    last: int | None = None
    prefix: Prefix | None = None
    group: str | None = None


class SecurityGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A set of allow rules; a workload with several groups may do what any of them allows."""

    schema: int = 1
    id: str
    name: str = ""
    rules: tuple[Rule, ...] = ()


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prefix in one group: a document of its own, so that a change writes one key on every node."""

    schema: int = 1
    group: str
    prefix: Prefix
