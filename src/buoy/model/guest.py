# SPDX-License-Identifier: Apache-2.0
"""What one guest is told by DHCP, router advertisement and DHCPv6: enough that the answer is a pure function."""

import msgspec

from buoy.model.address import Address, Mac, Prefix
from buoy.model.network import HostRoute, Ipv6Mode
from buoy.model.workload import DhcpOption


class Offer4(msgspec.Struct, frozen=True, kw_only=True):
    """The DHCPv4 offer: one address with its subnet's prefix, router, name servers and routes."""

    address: Address
    subnet: Prefix
    server: Address
    gateway: Address | None = None
    dns_servers: tuple[Address, ...] = ()
    routes: tuple[HostRoute, ...] = ()


class Offer6(msgspec.Struct, frozen=True, kw_only=True):
    """One IPv6 subnet of the guest: how it gets its addresses there, and which are its own."""

    subnet: Prefix
    mode: Ipv6Mode
    addresses: tuple[Address, ...] = ()
    dns_servers: tuple[Address, ...] = ()


class GuestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All answers for one interface; `router` tells whether router advertisements offer a default route."""

    interface: str
    mac: Mac
    hostname: str = ""
    domain: str = ""
    mtu: int = 1500
    offer4: Offer4 | None = None
    others4: tuple[Offer4, ...] = ()
    """Given to a guest that asks for them by name only: a client keeps the address it holds when the port gets more."""
    offers6: tuple[Offer6, ...] = ()
    router: bool = True
    options: tuple[DhcpOption, ...] = ()
    lease: int = 3600
    """Seconds an address is good for unless renewed; short, because addresses move and nothing has to be remembered."""
