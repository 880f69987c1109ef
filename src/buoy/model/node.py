# SPDX-License-Identifier: Apache-2.0
"""Nodes: what an agent says about itself, in one leased document."""

import msgspec

from buoy.model.address import Address


class PeerSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One BGP session as BIRD reports it; `state` is BIRD's word, such as ``Established`` or ``Active``."""

    name: str
    address: Address
    asn: int
    state: str
    since: str = ""
    error: str = ""
    exported: int = 0


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The heartbeat of an agent; gone with its lease when the agent dies or is cut off."""

    schema: int = 1
    name: str
    addresses: tuple[Address, ...] = ()
    version: str = ""
    started: str = ""
    sessions: tuple[PeerSession, ...] = ()
    workloads: int = 0
    service_ips: int = 0
    held: str = ""
    """Why removals are held by the guard; empty if they are not."""
    draining: bool = False
    """Whether its addresses are announced as the last resort (RFC 8326)."""
    problems: tuple[str, ...] = ()
    """What of peers, filters and settings is not in force there, and why; and a responder that does not run."""


class Fence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator's word that a node is off, so nothing it last reported is still announced by it."""

    schema: int = 1
    node: str
    reason: str = ""
