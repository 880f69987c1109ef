# SPDX-License-Identifier: Apache-2.0
"""Networks and subnets: which prefixes are inside, and what guests are told about them."""

import enum

import msgspec

from buoy.model.address import Address, Prefix


class Ipv6Mode(enum.StrEnum):
    """How guests of an IPv6 subnet get their address; Neutron's `ipv6_ra_mode` and `ipv6_address_mode`."""

    SLAAC = "slaac"
    STATEFUL = "dhcpv6-stateful"
    STATELESS = "dhcpv6-stateless"


class HostRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route guests are told of by DHCP option 121 (RFC 3442)."""

    prefix: Prefix
    via: Address


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A Neutron network: its MTU in bytes and whether it is external, that is, outside the tenants' prefixes."""

    schema: int = 1
    id: str
    name: str = ""
    mtu: int = 1500
    external: bool = False
    dns_domain: str = ""


class Subnet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subnet; `internal` prefixes keep fixed addresses: nothing is translated on the way to them."""

    schema: int = 1
    id: str
    network: str
    prefix: Prefix
    gateway: Address | None = None
    dns_servers: tuple[Address, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    dhcp: bool = True
    ra_mode: Ipv6Mode | None = None
    address_mode: Ipv6Mode | None = None
    internal: bool = True
