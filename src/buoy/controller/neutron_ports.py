# SPDX-License-Identifier: Apache-2.0
"""Neutron's ports that keep an address for this cluster: what they are called, and how they are read.

Promises that a port of ours is known by its owner and by the cluster's uid, never by its name: a name is for people
who run `openstack port list`. The tricky one is a port that is marked as leaving: its claim is gone, so it is never
put to use again, for the call that deletes it may still be under way.

Source: Networking API v2.0, ports.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from buoy.model.address import Address, parse_address
from buoy.model.errors import BuoyError, InvalidInput, StoreUnavailable
from buoy.model.pool import Pool
from buoy.model.service_ip import ServiceIP

_SPARE, _LEAVING = "spare", "leaving"
_LONGEST = 255
"""Characters of a name in Neutron."""


class Port(NamedTuple):
    """A port of ours; `address` is empty if somebody took it from the port."""

    id: str
    name: str
    subnet: str
    address: Address
    revision: int

    @property
    def leaving(self) -> bool:
        """Whether it is to be deleted, whatever else is true."""
        return self.name.endswith(f"/{_LEAVING}")


class NeutronRefused(BuoyError):
    """Neutron said no: `status` of HTTP, and in Neutron's words the `kind` of error and a sentence."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status = status
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"Neutron: {self.kind or self.status}: {self.message}"


class NeutronAway(StoreUnavailable):
    """Neutron does not answer: whether what was asked was done is not known."""


class Neutron(Protocol):
    """As much of Neutron as keeps addresses; each raises `NeutronAway` or `NeutronRefused`."""

    async def ports(self, cluster: str) -> list[Port]:
        """Return all ports of a cluster, by its uid."""

    async def create(self, cluster: str, name: str, subnet: str, wanted: Sequence[Address | None]) -> list[Port]:
        """Make a port for each address, None: any; all of them or none."""

    async def rename(self, port: Port, name: str) -> Port:
        """Name a port, in a new revision at any rate, unless it is not as it was read (412) or gone (404)."""

    async def delete(self, port: Port) -> None:
        """Delete a port, unless it is not as it was read (412); one that is gone is a success."""


class Naming(NamedTuple):
    """What ports are called: by `cluster`, the name of it or its uid."""

    cluster: str

    @property
    def spare(self) -> str:
        """The name of a port whose address nobody has."""
        return f"{self.cluster}/{_SPARE}"

    @property
    def leaving(self) -> str:
        """The name of a port that is to be deleted."""
        return f"{self.cluster}/{_LEAVING}"

    def of(self, claim: ServiceIP) -> str:
        """The name of the port of a claim: cluster/namespace/name/uid of who has the address."""
        if claim.released is not None or not claim.owners:
            return self.spare
        owner = claim.owners[0]
        return f"{self.cluster}/{owner.namespace}/{owner.name}/{owner.uid}"[:_LONGEST]


def subnet_of(pool: Pool) -> str:
    """Return the id of the Neutron subnet a pool draws from."""
    return pool.subnet or pool.name


def port_of(said: Mapping[str, Any]) -> Port:
    """Return a port as Neutron's API says it."""
    fixed = (said.get("fixed_ips") or [{}])[0]
    try:
        address = parse_address(str(fixed.get("ip_address", "")))
    except InvalidInput:
        address = Address("")
    revision = int(said.get("revision_number") or 0)
    return Port(str(said["id"]), str(said.get("name") or ""), str(fixed.get("subnet_id", "")), address, revision)
