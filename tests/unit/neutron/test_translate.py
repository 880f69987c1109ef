# SPDX-License-Identifier: Apache-2.0
"""Neutron's resources as documents."""

from typing import Any

import pytest

from buoy.model.address import Address, Prefix
from buoy.model.pool import Direction
from buoy.model.service_ip import Endpoint, PortMapping
from buoy.model.workload import AddressPair
from buoy.neutron.translate import (
    as_prefix,
    direction,
    interface_name,
    member_prefixes,
    outgoing,
    translate_floating_ip,
    translate_network,
    translate_pool,
    translate_port,
    translate_subnet,
)

PORT = "9a7e0868-da1b-4c2d-8e3f-000000000001"


def port(**attributes: object) -> dict[str, Any]:
    """A port that Buoy bound to compute-1."""
    return {
        "id": PORT,
        "name": "vm",
        "host": "compute-1",
        "vif_type": "tap",
        "driver": "buoy",
        "network_id": "net",
        "project_id": "project",
        "mac_address": "FA:16:3E:00:00:01",
        "admin_state_up": True,
        "network_admin_state_up": True,
        "port_security_enabled": True,
        "revision_number": 7,
        "dns_name": None,
        "fixed_ips": [{"ip_address": "10.65.0.13", "subnet_id": "s4"}],
        "security_groups": ["b", "a"],
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
    } | attributes


def fip(**attributes: object) -> dict[str, Any]:
    """A floating IP that leads to the port."""
    return {
        "id": "fip-1",
        "floating_ip_address": "172.16.1.3",
        "subnet_id": "pool",
        "project_id": "project",
        "revision_number": 3,
        "router_id": "r1",
        "gateway_router_id": "r1",
        "fixed_ip_address": "10.65.0.13",
        "tags": [],
        "subnet_tags": [],
        "network_tags": [],
        "port": port(),
        "port_forwardings": [],
    } | attributes


def subnet(**attributes: object) -> dict[str, Any]:
    """An IPv4 subnet of a carried network."""
    return {
        "id": "s4",
        "network_id": "net",
        "name": "v4",
        "cidr": "10.65.0.0/24",
        "gateway_ip": "10.65.0.1",
        "dns_nameservers": [],
        "host_routes": [],
        "enable_dhcp": True,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "carried": True,
        "router:external": False,
        "tags": [],
        "network_tags": [],
    } | attributes


def test_the_tap_has_novas_name() -> None:
    assert "tap9a7e0868-da" == interface_name(PORT)


def test_a_workload_is_canonical() -> None:
    found = translate_port(port(fixed_ips=[{"ip_address": a, "subnet_id": "s"} for a in ("10.0.0.9", "10.0.0.10")]))
    assert found is not None
    assert ("fa:16:3e:00:00:01", ("a", "b"), 7) == (found.mac, found.groups, found.revision)
    assert ["10.0.0.9", "10.0.0.10"] == [fixed.address for fixed in found.fixed_ips]


@pytest.mark.parametrize(
    "other", [{"host": ""}, {"vif_type": "binding_failed"}, {"vif_type": "ovs"}, {"driver": "openvswitch"}]
)
def test_a_port_that_buoy_did_not_bind_is_no_workload(other: dict[str, str]) -> None:
    assert None is translate_port(port(**other))


def test_a_port_or_its_network_may_be_down() -> None:
    downs = [{"admin_state_up": False}, {"network_admin_state_up": False}]
    assert [False, False] == [getattr(translate_port(port(**down)), "admin_up", None) for down in downs]


def test_a_pair_without_mac_has_the_ports_and_host_bits_are_dropped() -> None:
    pairs = [
        {"ip_address": "10.9.0.7/16", "mac_address": None},
        {"ip_address": "2001:DB8::7", "mac_address": "FA-16-3E-00-00-02"},
    ]
    found = translate_port(port(allowed_address_pairs=pairs))
    expected = (
        AddressPair(prefix=Prefix("10.9.0.0/16"), mac=found.mac if found else None),  # type: ignore[arg-type]
        AddressPair(prefix=Prefix("2001:db8::7/128"), mac="fa:16:3e:00:00:02"),  # type: ignore[arg-type]
    )
    assert expected == getattr(found, "pairs", None)


@pytest.mark.parametrize(
    ("owner", "named"),
    [
        (port(id="other", host="compute-2"), "other"),
        (port(id="vip", host="", vif_type="unbound", driver=""), ""),
        (port(id="theirs", vif_type="ovs", driver="openvswitch"), ""),
        (port(), ""),
        (None, ""),
    ],
    ids=["of a bound port", "of a port that is on no node", "of another driver's", "its own", "nobody's"],
)
def test_a_pair_names_the_port_whose_fixed_ip_it_is(owner: dict[str, Any] | None, named: str) -> None:
    pairs = [{"ip_address": "10.65.0.14", "mac_address": None, "owner": owner}]
    assert [named] == [pair.owner for pair in getattr(translate_port(port(allowed_address_pairs=pairs)), "pairs", ())]


def test_members_are_fixed_ips_and_pairs() -> None:
    pairs = [{"ip_address": "10.9.0.0/16", "mac_address": None}]
    assert {"10.65.0.13/32", "10.9.0.0/16"} == member_prefixes(port(allowed_address_pairs=pairs))
    assert "2001:db8::/64" == as_prefix("2001:DB8:0::1/64")


def test_an_associated_floating_ip_leads_to_the_fixed_ip() -> None:
    claim = translate_floating_ip(fip(), [fip()])
    assert (Endpoint(workload=PORT, target=Address("10.65.0.13"), node="compute-1"),) == claim.endpoints
    assert (True, Direction.BOTH) == (claim.default_egress, claim.direction)


def test_another_drivers_port_is_named_with_its_driver() -> None:
    foreign = port(driver="openvswitch", vif_type="ovs")
    claim = translate_floating_ip(fip(port=foreign), [fip()])
    assert [("", "openvswitch")] == [(endpoint.node, endpoint.driver) for endpoint in claim.endpoints]


def test_the_most_special_direction_holds() -> None:
    tags: tuple[list[str], ...] = (["buoy:direction=ingress"], ["buoy:direction=egress"], [])
    assert [Direction.INGRESS, Direction.EGRESS, Direction.BOTH] == [
        direction(*tags),
        direction(["mine"], *tags[1:]),
        direction([], [], []),
    ]


def forwarding(external: tuple[int, int], internal: tuple[int, int]) -> dict[str, Any]:
    """A port forwarding to the port."""
    return {
        "port": port(),
        "internal_ip_address": "10.65.0.13",
        "protocol": "tcp",
        "external_port_start": external[0],
        "external_port_end": external[1],
        "internal_port_start": internal[0],
        "internal_port_end": internal[1],
    }


def test_ranges_are_one_mapping_and_many_to_one_are_many() -> None:
    rows = [forwarding((80, 89), (8080, 8089)), forwarding((22, 23), (2222, 2222))]
    claim = translate_floating_ip(fip(port=None, fixed_ip_address=None, port_forwardings=rows), [])
    expected = [
        PortMapping(protocol="tcp", first=80, last=89, target_first=8080),
        PortMapping(protocol="tcp", first=22, last=22, target_first=2222),
        PortMapping(protocol="tcp", first=23, last=23, target_first=2222),
    ]
    assert expected == [endpoint.mapping for endpoint in claim.endpoints]


@pytest.mark.parametrize(
    ("expected", "siblings"),
    [
        (None, []),
        ("fip-1", [fip()]),
        ("low", [fip(id="high", floating_ip_address="172.16.1.10"), fip(id="low", floating_ip_address="172.16.1.9")]),
        ("owner", [fip(id="low", floating_ip_address="172.16.1.2", router_id="r2"), fip(id="owner")]),
        ("other", [fip(id="owner", tags=["buoy:direction=ingress"]), fip(id="other", router_id="r2")]),
        (None, [fip(subnet_tags=["buoy:direction=ingress"])]),
    ],
)
def test_which_floating_ip_goes_out(expected: str | None, siblings: list[dict[str, Any]]) -> None:
    assert expected == outgoing(siblings)


def test_only_carried_tenant_prefixes_are_internal() -> None:
    cases = [{}, {"router:external": True}, {"carried": False}]
    assert [True, False, False] == [translate_subnet(subnet(**case)).internal for case in cases]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["0.0.0.0"], ()),
        (["::"], ()),
        (["192.0.2.53"], ("192.0.2.53",)),
        (["192.0.2.54", "192.0.2.53"], ("192.0.2.54", "192.0.2.53")),
    ],
)
def test_dns_servers_keep_their_order_and_zeros_alone_mean_none(given: list[str], told: tuple[str, ...]) -> None:
    assert told == translate_subnet(subnet(dns_nameservers=given)).dns_servers


def test_only_external_subnets_are_pools() -> None:
    pool = translate_pool(subnet(**{"router:external": True, "network_tags": ["buoy:direction=egress"]}))
    assert pool is not None
    assert (("10.65.0.0/24",), Direction.EGRESS) == (pool.prefixes, pool.direction)
    assert None is translate_pool(subnet())


def test_a_domain_loses_its_dot() -> None:
    row = {"id": "net", "name": None, "mtu": 1450, "router:external": False, "dns_domain": "cloud.example."}
    found = translate_network(row)
    assert ("cloud.example", "", 1450) == (found.dns_domain, found.name, found.mtu)
