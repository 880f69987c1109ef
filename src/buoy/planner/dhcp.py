# SPDX-License-Identifier: Apache-2.0
"""What one guest is to be told: its subnets and its port turned into a `GuestConfig`.

Promises: pure, and complete, so that whoever answers the guest needs nothing else.
Tricky: a routed tap has no other router or DHCP server behind it. Where Neutron
leaves one of `ra_mode` and `address_mode` to "somebody else on the link", there is
nobody else, so one of the two is enough for us to do both.
"""

from collections.abc import Iterator, Mapping

from buoy.model.address import Address, Prefix, family, unpacked
from buoy.model.guest import GuestConfig, Offer4, Offer6
from buoy.model.network import HostRoute, Ipv6Mode, Network, Subnet
from buoy.model.workload import Workload

METADATA = Address("169.254.169.254")
"""Where a guest finds its metadata. Also our server identifier where a subnet has no gateway: no tenant can own it,
it is the same on every node, and the host answers ARP for it on each tap."""

_METADATA_PREFIX = Prefix(f"{METADATA}/32")
_ON_LINK = unpacked(bytes(4))


def guest_config(workload: Workload, subnets: Mapping[str, Subnet], network: Network | None) -> GuestConfig | None:
    """Return all answers for the workload's interface; None where no subnet has anything to say.

    `subnets` by id; an unknown one is as silent as one without DHCP. The DHCPv4 offer is the lowest fixed IP of a
    subnet with DHCP: the others are the guest's own to configure, unless one of them is what its client already holds.
    A port that is administratively down gets no answer.
    """
    if not workload.admin_up:
        return None
    offers4 = tuple(_offers4(workload, subnets))
    offers6 = tuple(_offers6(workload, subnets))
    if not offers4 and not offers6:
        return None
    return GuestConfig(
        interface=workload.interface,
        mac=workload.mac,
        hostname=workload.hostname,
        domain=network.dns_domain.rstrip(".") if network else "",
        mtu=network.mtu if network else 1500,
        offer4=next(iter(offers4), None),
        others4=offers4[1:],
        offers6=offers6,
        router=any(subnet.gateway for subnet, _, _ in _subnets6(workload, subnets)),
        options=workload.dhcp_options,
    )


def _offers4(workload: Workload, subnets: Mapping[str, Subnet]) -> Iterator[Offer4]:
    for fixed in workload.fixed_ips:
        subnet = subnets.get(fixed.subnet)
        if subnet is not None and subnet.dhcp and family(subnet.prefix) == 4:
            yield Offer4(
                address=fixed.address,
                subnet=subnet.prefix,
                server=subnet.gateway or METADATA,
                gateway=subnet.gateway,
                dns_servers=_of_family(subnet.dns_servers, 4),
                routes=_routes(subnet),
            )


def _routes(subnet: Subnet) -> tuple[HostRoute, ...]:
    """The subnet's host routes, and the one to the metadata service unless the subnet has its own."""
    if any(route.prefix == _METADATA_PREFIX for route in subnet.host_routes):
        return subnet.host_routes
    metadata = HostRoute(prefix=_METADATA_PREFIX, via=subnet.gateway or _ON_LINK)
    return (metadata, *subnet.host_routes)


def _offers6(workload: Workload, subnets: Mapping[str, Subnet]) -> Iterator[Offer6]:
    for subnet, mode, addresses in _subnets6(workload, subnets):
        yield Offer6(
            subnet=subnet.prefix, mode=mode, addresses=addresses, dns_servers=_of_family(subnet.dns_servers, 6)
        )


def _subnets6(
    workload: Workload, subnets: Mapping[str, Subnet]
) -> Iterator[tuple[Subnet, Ipv6Mode, tuple[Address, ...]]]:
    """Each IPv6 subnet of the port that has a mode, once, with the port's addresses in it."""
    for identity in dict.fromkeys(fixed.subnet for fixed in workload.fixed_ips):
        subnet = subnets.get(identity)
        if subnet is None or not subnet.dhcp or family(subnet.prefix) == 4:
            continue
        mode = subnet.address_mode or subnet.ra_mode
        if mode is not None:
            yield subnet, mode, tuple(fixed.address for fixed in workload.fixed_ips if fixed.subnet == identity)


def _of_family(addresses: tuple[Address, ...], version: int) -> tuple[Address, ...]:
    return tuple(address for address in addresses if family(address) == version)
