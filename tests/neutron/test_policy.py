# SPDX-License-Identifier: Apache-2.0
"""Security groups, address groups, networks and subnets as documents."""

from typing import Any

import pytest

from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.network import HostRoute, Ipv6Mode, Network, Subnet
from buoy.model.pool import Direction, Pool, Registry
from tests.neutron.cloud import Cloud, Refusal, eventually
from tests.neutron.story import Tenant


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Tenant:
    """A tenant network behind a router."""
    return Tenant(cloud, 62)


def members(cloud: Cloud, group: str) -> set[str]:
    """Return the prefixes in a group."""
    return {d.prefix for d in cloud.documents().values() if isinstance(d, Member) and d.group == group}


def rules(cloud: Cloud, group: str) -> set[Rule]:
    """Return the rules of a group."""
    found = cloud.document(f"groups/{group}")
    return set(found.rules) if isinstance(found, SecurityGroup) else set()


def rule(cloud: Cloud, group: str, **attributes: object) -> dict[str, Any]:
    """Create a rule, ingress by default."""
    return cloud.create("security_group_rule", **{"security_group_id": group, "direction": "ingress"} | attributes)


def test_the_default_group_is_as_neutron_has_it(cloud: Cloud, tenant: Tenant) -> None:
    group = tenant.port()["security_groups"][0]
    expected = {
        Rule(side=Side.EGRESS, family=4),
        Rule(side=Side.EGRESS, family=6),
        Rule(side=Side.INGRESS, family=4, group=group),
        Rule(side=Side.INGRESS, family=6, group=group),
    }
    assert expected == eventually(expected, lambda: rules(cloud, group))


def test_rules_come_and_go(cloud: Cloud) -> None:
    group = cloud.create("security_group", name="web")["id"]
    assert True is eventually(True, lambda: bool(rules(cloud, group)))
    before = rules(cloud, group)
    web = rule(cloud, group, protocol="tcp", port_range_min=80, port_range_max=443, remote_ip_prefix="192.0.2.0/24")
    rule(cloud, group, protocol="icmp", ethertype="IPv6", port_range_min=128, port_range_max=0)
    added = {
        Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=443, prefix=Prefix("192.0.2.0/24")),
        Rule(side=Side.INGRESS, family=6, protocol=58, first=128, last=0),
    }
    assert before | added == eventually(before | added, lambda: rules(cloud, group))
    cloud.delete("security_group_rule", web["id"])
    left = {one for one in before | added if one.protocol != 6}
    assert left == eventually(left, lambda: rules(cloud, group))
    cloud.delete("security_group", group)
    assert None is eventually(None, lambda: cloud.document(f"groups/{group}"))


def test_a_group_deleted_takes_the_rules_that_name_it_along(cloud: Cloud) -> None:
    named = cloud.create("security_group", name="named")["id"]
    group = cloud.create("security_group", name="naming")["id"]
    rule(cloud, group, remote_group_id=named)
    assert True is eventually(True, lambda: any(one.group == named for one in rules(cloud, group)))
    cloud.delete("security_group", named)
    assert False is eventually(False, lambda: any(one.group == named for one in rules(cloud, group)))


def test_members_follow_ports_their_addresses_and_pairs(cloud: Cloud, tenant: Tenant) -> None:
    group = cloud.create("security_group", name="members")["id"]
    port = tenant.port(security_groups=[group], allowed_address_pairs=[{"ip_address": "10.97.0.0/16"}])
    own = f"{port['fixed_ips'][0]['ip_address']}/32"
    assert {own, "10.97.0.0/16"} == eventually({own, "10.97.0.0/16"}, lambda: members(cloud, group))
    twin = tenant.port(security_groups=[group], allowed_address_pairs=[{"ip_address": "10.97.0.0/16"}])
    cloud.update("port", port["id"], allowed_address_pairs=[])
    both = {own, f"{twin['fixed_ips'][0]['ip_address']}/32", "10.97.0.0/16"}
    assert both == eventually(both, lambda: members(cloud, group))
    cloud.update("port", port["id"], security_groups=[])
    cloud.delete("port", twin["id"])
    assert set() == eventually(set(), lambda: members(cloud, group))


def test_address_groups_are_groups_of_members(cloud: Cloud) -> None:
    group = cloud.create("address_group", name="office", addresses=["198.51.100.0/24", "203.0.113.7/32"])["id"]
    both = {"198.51.100.0/24", "203.0.113.7/32"}
    assert both == eventually(both, lambda: members(cloud, group))
    cloud.call("PUT", f"address-groups/{group}/remove_addresses", {"addresses": ["203.0.113.7/32"]})
    assert {"198.51.100.0/24"} == eventually({"198.51.100.0/24"}, lambda: members(cloud, group))
    named = cloud.create("security_group", name="by-address")["id"]
    rule(cloud, named, remote_address_group_id=group)
    assert True is eventually(True, lambda: any(one.group == group for one in rules(cloud, named)))
    cloud.delete("security_group", named)
    cloud.delete("address_group", group)
    assert set() == eventually(set(), lambda: members(cloud, group))


def test_stateless_groups_are_refused(cloud: Cloud) -> None:
    with pytest.raises(Refusal, match="stateful") as refused:
        cloud.create("security_group", name="stateless", stateful=False)
    assert 400 == refused.value.status


def test_networks_subnets_and_pools(cloud: Cloud) -> None:
    network = cloud.create("network", name="dual", mtu=1400, dns_domain="dual.example.")
    inside = cloud.create(
        "subnet",
        network_id=network["id"],
        cidr="2001:db8:5::/64",
        ip_version=6,
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
        dns_nameservers=["2001:db8::53", "2001:db8::54"],
        host_routes=[{"destination": "2001:db8:9::/48", "nexthop": "2001:db8:5::9"}],
    )
    expected: Document = Subnet(
        id=inside["id"],
        network=network["id"],
        prefix=Prefix("2001:db8:5::/64"),
        gateway=Address(inside["gateway_ip"]),
        dns_servers=(Address("2001:db8::53"), Address("2001:db8::54")),
        host_routes=(HostRoute(prefix=Prefix("2001:db8:9::/48"), via=Address("2001:db8:5::9")),),
        ra_mode=Ipv6Mode.SLAAC,
        address_mode=Ipv6Mode.SLAAC,
    )
    assert expected == eventually(expected, lambda: cloud.document(f"subnets/{inside['id']}"))
    wide: Document = Network(id=network["id"], name="dual", mtu=1400, dns_domain="dual.example")
    assert wide == cloud.document(f"networks/{network['id']}")
    cloud.update("network", network["id"], mtu=1300)
    narrow: Document = Network(id=network["id"], name="dual", mtu=1300, dns_domain="dual.example")
    assert narrow == eventually(narrow, lambda: cloud.document(f"networks/{network['id']}"))
    cloud.delete("network", network["id"])
    assert None is eventually(None, lambda: cloud.document(f"subnets/{inside['id']}"))


def test_an_external_subnet_is_a_pool_and_not_internal(cloud: Cloud) -> None:
    network = cloud.create("network", name="ext", **{"router:external": True})
    subnet = cloud.create("subnet", network_id=network["id"], cidr="203.0.113.0/24", ip_version=4, name="pool")
    cloud.call("PUT", f"networks/{network['id']}/tags", {"tags": ["buoy:direction=ingress"]})
    pool: Document = Pool(
        name=subnet["id"],
        prefixes=(Prefix("203.0.113.0/24"),),
        registry=Registry.NEUTRON,
        direction=Direction.INGRESS,
        description="pool",
    )
    assert pool == eventually(pool, lambda: cloud.document(f"pools/{subnet['id']}"))
    document = cloud.document(f"subnets/{subnet['id']}")
    assert isinstance(document, Subnet)
    assert False is document.internal
    cloud.update("network", network["id"], **{"router:external": False})
    assert None is eventually(None, lambda: cloud.document(f"pools/{subnet['id']}"))
