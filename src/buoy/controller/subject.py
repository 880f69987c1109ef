# SPDX-License-Identifier: Apache-2.0
"""What one object that may have addresses is to the controller, whatever its kind: the inputs of a decision.

Promises nothing; frozen facts. The tricky one is `Entry.ours`: what stands in a
status is ours only if its address lies in a pool of ours or is claimed for the
object; everything else there belongs to somebody else and is written back as read.
"""

from typing import Any, NamedTuple, TypeAlias

import msgspec

from buoy.model.address import Address
from buoy.model.service_ip import Owner, ServiceIP

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


class Condition(NamedTuple):
    """Our condition: `status` is True or False, `since` when that last changed (RFC 3339)."""

    status: bool
    reason: str
    message: str
    since: str = ""

    def says(self, other: "Condition | None") -> bool:
        """Tell whether two conditions say the same, since whenever."""
        return other is not None and self[:3] == other[:3]


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


class Claim(NamedTuple):
    """A service IP as it stands in the API server, in `version`; empty: it does not stand there yet."""

    document: ServiceIP
    version: str


class Grant(NamedTuple):
    """An address that the object is to have."""

    address: Address
    pool: str
    sharing: str = ""


class Granted(NamedTuple):
    """What the object is to have, in the order its status shall show it, and what is to be said of it."""

    grants: tuple[Grant, ...]
    reason: str
    message: str
    complete: bool = True
    """False: what it asked for is refused, and it keeps what it has."""


class Refused(NamedTuple):
    """Nothing is to be had, and why: `reason` in the form of a condition's."""

    reason: str
    message: str


Answer: TypeAlias = Granted | Refused


def same_owner(one: Owner, other: Owner) -> bool:
    """Tell whether two owners have one name; a life that began anew has the same name and another uid."""
    return (one.kind, one.namespace, one.name, one.cluster) == (other.kind, other.namespace, other.name, other.cluster)
