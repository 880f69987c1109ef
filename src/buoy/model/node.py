# SPDX-License-Identifier: Apache-2.0
"""Nodes: what an agent says about itself, in one leased document."""

import msgspec

from buoy.model.address import Address

# BIRD does not even try then, and gives no reason
_ELSEWHERE = " is in no network that is up; multihop reaches farther"


class PeerSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One BGP session as BIRD reports it; `state` is BIRD's word, such as ``Established`` or ``Active``."""

    name: str
    """BIRD's name of it."""
    address: Address
    """Where the neighbour is."""
    asn: int
    """The neighbour's AS."""
    state: str
    """BIRD's word, such as ``Established``."""
    since: str = ""
    """When it came to be so."""
    error: str = ""
    """The last one, in BIRD's words."""
    exported: int = 0
    """How many routes the neighbour was told."""

    @property
    def established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"

    @property
    def trouble(self) -> str:
        """Its name and state, and why it is not established, as far as BIRD tells."""
        why = self.error or (f"{self.address}{_ELSEWHERE}" if self.state == "Idle" else "")
        return f"{self.name} ({self.state}{why and f': {why}'})"


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The heartbeat of an agent; gone with its lease when the agent dies or is cut off."""

    schema: int = 1
    name: str
    addresses: tuple[Address, ...] = ()
    """Where it speaks BGP from."""
    version: str = ""
    """The agent's."""
    started: str = ""
    """When the agent was started."""
    sessions: tuple[PeerSession, ...] = ()
    """With its neighbours."""
    workloads: int = 0
    """How many are on it."""
    service_ips: int = 0
    """How many it serves."""
    held: str = ""
    """Why removals are held by the guard; empty if they are not."""
    draining: bool = False
    """Whether its addresses are announced as the last resort (RFC 8326)."""
    problems: tuple[str, ...] = ()
    """What of peers, filters and settings is not in force there, and why; no DHCP responder; failing passes."""


class Fence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator's word that a node is off, so nothing it last reported is still announced by it."""

    schema: int = 1
    node: str
    reason: str = ""
    """Why, for people."""
