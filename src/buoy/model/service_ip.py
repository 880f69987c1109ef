# SPDX-License-Identifier: Apache-2.0
"""The service IP: a claim on an address that outlives what it points at."""

import enum

import msgspec

from buoy.model.address import Address
from buoy.model.pool import Direction


class Mode(enum.StrEnum):
    """How packets to a service IP reach its endpoint."""

    TRANSLATED = "translated"
    ROUTED = "routed"
    PROXIED = "proxied"


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Ports `first`..`last` of the service IP go to as many ports of the endpoint from `target_first` on."""

    protocol: str
    first: int
    last: int
    target_first: int


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a service IP leads: a workload on a node, at one of its fixed IPs; `mapping` None means all ports.

    `node` is empty while the workload is not bound by Buoy; then `driver` names
    who bound it, or is empty if nobody did.
    """

    workload: str
    target: Address
    node: str = ""
    driver: str = ""
    mapping: PortMapping | None = None


class ServiceIP(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A claim, keyed by its address.

    `default_egress` is false where another service IP of the same fixed IP
    belongs to the router that owns the default route.
    """

    schema: int = 1
    address: Address
    mode: Mode = Mode.TRANSLATED
    id: str = ""
    pool: str = ""
    project: str = ""
    direction: Direction = Direction.BOTH
    endpoints: tuple[Endpoint, ...] = ()
    default_egress: bool = True
    revision: int = 0
