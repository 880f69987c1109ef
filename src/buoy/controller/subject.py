# SPDX-License-Identifier: Apache-2.0
"""What one object that may have addresses is to the controller, whatever its kind: the inputs of a decision.

Promises nothing; frozen facts. The tricky one is `Entry.ours`: what stands in a
status is ours only if its address lies in a pool of ours or is claimed for the
object; everything else there belongs to somebody else and is written back as read.
"""

import re
from typing import Any, NamedTuple, TypeAlias

import msgspec

from buoy.model.address import Address
from buoy.model.service_ip import Identity, Owner, ServiceIP

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""Keeps a deleted Service until its load balancer is taken down (KEP-980)."""

CONDITION = "buoy.dev/AddressAllocated"
"""The type of our condition."""


class Entry(NamedTuple):
    """One entry of `status.loadBalancer.ingress`; `said` is it as it was read."""

    said: dict[str, Any]
    ours: bool

    @property
    def address(self) -> str:
        """Its address as written, empty if it is a host name."""
        return str(self.said.get("ip") or "")


_PASSING = re.compile(r" \([^()]*\)| until \S+Z")


class Condition(NamedTuple):
    """Our condition: `status` is True or False, `since` when that last changed (RFC 3339)."""

    status: bool
    reason: str
    message: str
    since: str = ""

    def says(self, other: "Condition | None") -> bool:
        """Tell whether two conditions say the same, since whenever.

        How full a pool is in figures, and until when: that changes with every neighbour, and must not write to all.
        """
        return other is not None and self[:2] == other[:2] and _gist(self.message) == _gist(other.message)


def _gist(message: str) -> str:
    return _PASSING.sub("", message)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An object as it was read in `version` (its resourceVersion).

    `wants`: it shall have addresses, and of us. `foreign`: another implementation's. `writable`: the API server
    takes entries of its status (a Service has them only while it is of type LoadBalancer).
    """

    owner: Owner
    version: str
    wants: bool
    foreign: bool = False
    writable: bool = True
    finalizers: tuple[str, ...] = ()
    ingress: tuple[Entry, ...] = ()
    condition: Condition | None = None
    extras: tuple[Address, ...] = ()
    """Addresses of others that it shows besides its own: those of the Ingresses it serves."""

    @property
    def is_service(self) -> bool:
        """Whether it has a finalizer, conditions, and entries with a mode; an Ingress has none of these."""
        return self.owner.kind == "Service"


class Claim(NamedTuple):
    """A service IP as it stands in the API server, in `version`; empty: it does not stand there yet."""

    document: ServiceIP
    version: str

    @property
    def named(self) -> frozenset[Identity]:
        """Whose it is, in whichever of their lives."""
        return frozenset(owner.identity for owner in self.document.owners)


class Granted(NamedTuple):
    """What the object is to have: the claims on it, in the order its status shows them, and what is to be said."""

    claims: tuple[ServiceIP, ...]
    said: Condition
    externals: tuple[ServiceIP, ...] = ()
    """Claims on addresses it names itself, which its status does not show."""
    warning: bool = False
    """Whether something of what it asked for is refused."""


class Refused(NamedTuple):
    """Nothing is to be had, and why: `reason` in the form of a condition's."""

    reason: str
    message: str


Answer: TypeAlias = Granted | Refused
