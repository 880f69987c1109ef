# SPDX-License-Identifier: Apache-2.0
"""Workloads: a port of a VM (later of a pod) as its node must serve it."""

import msgspec

from buoy.model.address import Address, Mac, Prefix


class FixedIP(msgspec.Struct, frozen=True, kw_only=True):
    """An address the guest itself owns, routed to its tap without NAT."""

    address: Address
    subnet: str


class AddressPair(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What else the guest may send from: a prefix with a MAC; single addresses are routed to the tap as well."""

    prefix: Prefix
    mac: Mac
    owner: str = ""
    """Another bound port whose fixed IP this single address is: it is routed to that one alone."""


class DhcpOption(msgspec.Struct, frozen=True, kw_only=True):
    """A Neutron extra DHCP option: `name` as dnsmasq names it or a number, for one IP version."""

    name: str
    value: str
    version: int = 4


class Workload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bound port: `interface` is its tap on `node`; `revision` is echoed in the node's status."""

    schema: int = 1
    id: str
    node: str
    interface: str
    mac: Mac
    network: str
    project: str = ""
    name: str = ""
    hostname: str = ""
    fixed_ips: tuple[FixedIP, ...] = ()
    groups: tuple[str, ...] = ()
    port_security: bool = True
    pairs: tuple[AddressPair, ...] = ()
    dhcp_options: tuple[DhcpOption, ...] = ()
    admin_up: bool = True
    revision: int = 0
