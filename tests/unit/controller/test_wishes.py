# SPDX-License-Identifier: Apache-2.0
"""What people may ask for, from the annotation to the address: scopes, families, addresses of their own, sharing."""

from typing import Any

from msgspec.structs import replace

from buoy.kubernetes.resources import NAMESPACES
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import OURS, Cluster, events

FIP = "opencontrail.org/fip-pool"


def contrail(name: str) -> str:
    return f"{{'domain': 'default-domain', 'project': 'k8s-ns-user-1', 'network': 'vn', 'name': '{name}'}}"


async def scopes() -> Cluster:
    world = Cluster(ours=replace(OURS, public_pool=contrail("pool-global-default")))
    for index, name in enumerate(("pool-global-default", "pool-dev", "pool-sales")):
        world.pool(name, f"192.0.2.{16 * index}/28")
    await world.settle()
    return world


def of_namespace(world: Cluster, pool: str | None) -> None:
    annotations = {FIP: contrail(pool) if pool else None}
    world.server.patch(NAMESPACES.at(ObjectName("", "shop")), {"metadata": {"annotations": annotations}})


async def test_the_most_specific_scope_prevails() -> None:
    world = await scopes()
    world.service("of-cluster")
    await world.settle()
    of_namespace(world, "pool-dev")
    world.service("of-namespace")
    world.service("of-object", {FIP: contrail("pool-sales")})
    await world.settle()
    found = {name: world.addresses(name) for name in ("of-cluster", "of-namespace", "of-object")}
    assert {"of-cluster": ["192.0.2.0"], "of-namespace": ["192.0.2.16"], "of-object": ["192.0.2.32"]} == found


async def test_a_quota_counts_what_its_pool_has_no_more_and_who_waits_for_it_has_its_turn() -> None:
    world = Cluster()
    world.pool("few", "192.0.2.0/28", quota=1)
    world.service("first")
    await world.settle()
    world.pool("few", "198.51.100.0/28", quota=1)
    world.service("second")
    await world.settle()
    assert (["192.0.2.0"], []) == (world.addresses("first"), world.addresses("second"))
    assert "QuotaReached" == world.condition("second")[1]
    world.delete("first")
    await world.settle()
    assert ["198.51.100.0"] == world.addresses("second")


async def test_a_named_pool_that_is_missing_is_told_and_taken_up_when_it_comes() -> None:
    world = await scopes()
    world.service("web", {FIP: contrail("pool-new")})
    await world.settle()
    assert [] == world.addresses("web")
    assert ("False", "PoolMissing") == world.condition("web")[:2]
    world.pool("pool-new", "198.51.100.0/28")
    await world.settle()
    assert ["198.51.100.0"] == world.addresses("web")


async def test_an_annotation_that_cannot_be_read_is_told() -> None:
    world = await scopes()
    world.service("web", {FIP: "{'name': "})
    await world.settle()
    assert ("False", "Malformed") == world.condition("web")[:2]


async def test_a_service_that_names_another_pool_moves_there() -> None:
    world = await scopes()
    world.service("web")
    await world.settle()
    world.service("web", {"buoy.dev/pool": "pool-sales"})
    await world.settle()
    assert ["192.0.2.32"] == world.addresses("web")
    assert world.claim("192.0.2.0")["released"]


async def test_a_service_that_names_a_pool_which_refuses_keeps_what_it_has() -> None:
    world = await scopes()
    world.service("web")
    await world.settle()
    world.service("web", {"buoy.dev/pool": "nowhere"})
    await world.settle()
    assert ["192.0.2.0"] == world.addresses("web")
    assert ("False", "PoolMissing") == world.condition("web")[:2]


async def test_a_service_gets_the_address_it_names() -> None:
    world = await scopes()
    world.service("web", loadBalancerIP="192.0.2.20")
    await world.settle()
    assert ["192.0.2.20"] == world.addresses("web")


async def test_an_address_that_is_taken_is_given_when_it_is_free() -> None:
    world = await scopes()
    world.service("web", loadBalancerIP="192.0.2.20")
    await world.settle()
    world.service("dns", loadBalancerIP="192.0.2.20")
    await world.settle()
    assert ("False", "AddressTaken") == world.condition("dns")[:2]
    world.delete("web")
    await world.settle()
    assert ("False", "AddressHeldDown") == world.condition("dns")[:2]
    world.wait(300)
    await world.settle()
    assert ["192.0.2.20"] == world.addresses("dns")


async def test_a_service_that_requires_both_families_gets_both_or_none() -> None:
    world = await scopes()
    both: dict[str, Any] = {"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack"}
    world.service("web", **both)
    await world.settle()
    assert [] == world.addresses("web")
    assert ("False", "FamilyMissing") == world.condition("web")[:2]
    world.pool("pool-global-default", "192.0.2.0/28", "2001:db8::/126")
    await world.settle()
    assert ["2001:db8::", "192.0.2.0"] == world.addresses("web")


async def test_a_service_that_prefers_both_families_gets_the_second_when_it_comes() -> None:
    world = await scopes()
    world.service("web", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
    await world.settle()
    assert ["192.0.2.0"] == world.addresses("web")
    assert ("True", "PartlyAllocated") == world.condition("web")[:2]
    world.pool("pool-global-default", "192.0.2.0/28", "2001:db8::/126")
    await world.settle()
    assert ["192.0.2.0", "2001:db8::"] == world.addresses("web")
    assert ("True", "Allocated") == world.condition("web")[:2]


async def test_a_family_that_goes_is_released_alone() -> None:
    world = await scopes()
    world.pool("pool-global-default", "192.0.2.0/28", "2001:db8::/126")
    world.service("web", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
    await world.settle()
    world.service("web", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    await world.settle()
    assert ["192.0.2.0"] == world.addresses("web")
    assert world.claim("2001:db8::")["released"]


async def test_services_with_one_key_and_other_ports_share_an_address_until_the_last_one_goes() -> None:
    world = await scopes()
    key = {"buoy.dev/sharing-key": "mail"}
    world.service("smtp", key, ports=[{"port": 25}])
    await world.settle()
    world.service("imap", key, ports=[{"port": 143}], loadBalancerIP="192.0.2.0")
    world.service("spam", key, ports=[{"port": 25}], loadBalancerIP="192.0.2.0")
    await world.settle()
    assert (["192.0.2.0"], ["192.0.2.0"], []) == tuple(map(world.addresses, ("smtp", "imap", "spam")))
    assert ("False", "SharingPort") == world.condition("spam")[:2]
    world.delete("smtp")
    await world.settle()
    assert ["192.0.2.0"] == world.addresses("spam")
    world.delete("imap")
    world.delete("spam")
    await world.settle()
    assert world.claim("192.0.2.0")["released"]


async def test_addresses_a_service_names_itself_are_claimed_for_it() -> None:
    world = await scopes()
    world.service("web", type="ClusterIP", externalIPs=["192.0.2.0", "203.0.113.9"])
    await world.settle()
    world.service("dns")
    await world.settle()
    assert ["web"] == [owner["name"] for owner in world.claim("192.0.2.0")["owners"]]
    assert ("True", "Allocated") == world.condition("web")[:2]
    assert ["192.0.2.1"] == world.addresses("dns")
    world.service("web", type="ClusterIP", externalIPs=["203.0.113.9"])
    await world.settle()
    assert world.claim("192.0.2.0")["released"]
    assert [] == world.found("web")["metadata"]["finalizers"]


async def test_addresses_of_no_pool_are_nobodys_business() -> None:
    world = await scopes()
    world.service("web", type="ClusterIP", externalIPs=["203.0.113.9"])
    before = world.server.writes
    await world.settle()
    assert before == world.server.writes


async def test_an_address_a_status_shows_is_adopted() -> None:
    world = await scopes()
    world.service("web")
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.40"}]}}}
    world.ours = replace(OURS, public_pool="")
    world.server.patch(world.at("web", "status"), status)
    await world.restart()
    await world.settle()
    assert ["192.0.2.40"] == world.addresses("web")
    assert "pool-sales" == world.claim("192.0.2.40")["pool"]


async def test_every_no_has_an_event_and_so_has_every_address() -> None:
    world = await scopes()
    for controller in world.controllers:
        controller.telling()
    world.service("web", {"buoy.dev/pool": "nowhere"})
    world.service("dns")
    await world.settle()
    assert [("Normal", "Allocated"), ("Warning", "PoolMissing")] == sorted(each[:2] for each in events(world.server))
