# SPDX-License-Identifier: Apache-2.0
"""From port and subnets to what the guest is told."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.guest import GuestConfig, Offer4, Offer6
from buoy.model.network import HostRoute, Ipv6Mode, Network, Subnet
from buoy.model.workload import DhcpOption, FixedIP, Workload
from buoy.planner.dhcp import guest_config

GATEWAY = Address("192.0.2.1")
METADATA = Prefix("169.254.169.254/32")
NETWORK = Network(id="net", mtu=1442, dns_domain="example.org.")
V4 = Subnet(
    id="v4", network="net", prefix=Prefix("192.0.2.0/24"), gateway=GATEWAY, dns_servers=(Address("192.0.2.53"),)
)
BARE = Subnet(id="bare", network="net", prefix=Prefix("198.51.100.0/24"))
QUIET = Subnet(id="quiet", network="net", prefix=Prefix("203.0.113.0/24"), dhcp=False)


def subnet6(address_mode: Ipv6Mode | None, ra_mode: Ipv6Mode | None, gateway: str | None = "2001:db8::1") -> Subnet:
    return Subnet(
        id="v6",
        network="net",
        prefix=Prefix("2001:db8::/64"),
        gateway=Address(gateway) if gateway else None,
        dns_servers=(Address("2001:db8::53"), Address("192.0.2.53")),
        address_mode=address_mode,
        ra_mode=ra_mode,
    )


def port(*fixed: tuple[str, str], admin_up: bool = True) -> Workload:
    return Workload(
        id="port",
        node="compute-1",
        interface="tap1",
        mac=Mac("fa:16:3e:00:00:01"),
        network="net",
        hostname="web1",
        fixed_ips=tuple(FixedIP(address=Address(address), subnet=subnet) for address, subnet in fixed),
        dhcp_options=(DhcpOption(name="ntp-server", value="192.0.2.9"),),
        admin_up=admin_up,
    )


def of(*subnets: Subnet) -> dict[str, Subnet]:
    return {subnet.id: subnet for subnet in subnets}


def test_a_port_on_an_ipv4_subnet() -> None:
    expected = GuestConfig(
        interface="tap1",
        mac=Mac("fa:16:3e:00:00:01"),
        hostname="web1",
        domain="example.org",
        mtu=1442,
        offer4=Offer4(
            address=Address("192.0.2.7"),
            subnet=V4.prefix,
            server=GATEWAY,
            gateway=GATEWAY,
            dns_servers=V4.dns_servers,
            routes=(HostRoute(prefix=METADATA, via=GATEWAY),),
        ),
        router=False,
        options=(DhcpOption(name="ntp-server", value="192.0.2.9"),),
    )
    assert expected == guest_config(port(("192.0.2.7", "v4")), of(V4), NETWORK)


def test_the_first_fixed_ip_of_a_subnet_with_dhcp_is_offered() -> None:
    config = guest_config(
        port(("203.0.113.7", "quiet"), ("198.51.100.7", "bare"), ("192.0.2.7", "v4")), of(V4, BARE, QUIET), NETWORK
    )
    assert config is not None
    assert config.offer4 is not None
    assert "198.51.100.7" == config.offer4.address


def test_the_ports_other_addresses_are_there_for_a_guest_that_holds_one_of_them() -> None:
    config = guest_config(
        port(("198.51.100.7", "bare"), ("192.0.2.7", "v4"), ("192.0.2.9", "v4")), of(V4, BARE, QUIET), NETWORK
    )
    assert config is not None
    assert ["192.0.2.7", "192.0.2.9"] == [offer.address for offer in config.others4]


def test_without_a_gateway_the_metadata_address_is_the_server_and_on_the_link() -> None:
    config = guest_config(port(("198.51.100.7", "bare")), of(BARE), None)
    assert config is not None
    assert (1500, "") == (config.mtu, config.domain)
    assert config.offer4 is not None
    assert ("169.254.169.254", None) == (config.offer4.server, config.offer4.gateway)
    assert (HostRoute(prefix=METADATA, via=Address("0.0.0.0")),) == config.offer4.routes


def test_a_subnets_own_metadata_route_stays_alone() -> None:
    own = HostRoute(prefix=METADATA, via=Address("192.0.2.200"))
    other = HostRoute(prefix=Prefix("10.0.0.0/8"), via=Address("192.0.2.201"))
    subnet = Subnet(id="v4", network="net", prefix=V4.prefix, gateway=GATEWAY, host_routes=(other, own))
    config = guest_config(port(("192.0.2.7", "v4")), of(subnet), NETWORK)
    assert config is not None
    assert config.offer4 is not None
    assert (other, own) == config.offer4.routes


@pytest.mark.parametrize("mode", list(Ipv6Mode))
def test_either_mode_is_enough_for_there_is_nobody_else_on_the_link(mode: Ipv6Mode) -> None:
    for subnet in (subnet6(mode, None), subnet6(None, mode), subnet6(mode, mode)):
        config = guest_config(port(("2001:db8::7", "v6"), ("2001:db8::8", "v6")), of(subnet), NETWORK)
        assert config is not None
        assert config.router is True
        assert (
            Offer6(
                subnet=subnet.prefix,
                mode=mode,
                addresses=(Address("2001:db8::7"), Address("2001:db8::8")),
                dns_servers=(Address("2001:db8::53"),),
            ),
        ) == config.offers6


def test_without_a_gateway_no_default_route_is_advertised() -> None:
    config = guest_config(port(("2001:db8::7", "v6")), of(subnet6(Ipv6Mode.SLAAC, None, gateway=None)), NETWORK)
    assert config is not None
    assert config.router is False


@pytest.mark.parametrize(
    ("workload", "subnets"),
    [
        pytest.param(port(), of(V4), id="no fixed IP"),
        pytest.param(port(("203.0.113.7", "quiet")), of(QUIET), id="DHCP off"),
        pytest.param(port(("192.0.2.7", "v4")), of(), id="subnet unknown"),
        pytest.param(port(("2001:db8::7", "v6")), of(subnet6(None, None)), id="IPv6 without a mode"),
        pytest.param(port(("192.0.2.7", "v4"), admin_up=False), of(V4), id="administratively down"),
    ],
)
def test_nothing_to_say(workload: Workload, subnets: dict[str, Subnet]) -> None:
    assert guest_config(workload, subnets, NETWORK) is None
