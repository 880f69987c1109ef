# SPDX-License-Identifier: Apache-2.0
"""An Ingress has an address of its own, and its traffic goes to the Service that serves its class."""

from typing import Any

from buoy.controller.contest import WITHIN
from buoy.controller.fronts import CLASSES, INGRESSES
from buoy.kubernetes.resources import SERVICES
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import Cluster, events

FRONT = "buoy.dev/service"


async def cluster(**annotations: str) -> Cluster:
    world = Cluster()
    world.pool("public", "192.0.2.0/28")
    world.service("nginx")
    said = {"metadata": {"name": "web", "annotations": {FRONT: "shop/nginx"} | annotations}, "spec": {}}
    world.server.create(CLASSES, "", said)
    for controller in world.controllers:
        controller.telling()
    await world.settle()
    return world


def ingress(world: Cluster, name: str, of_class: str = "web", **annotations: str) -> None:
    said = {"metadata": {"name": name, "annotations": annotations}, "spec": {"ingressClassName": of_class}}
    if world.server.patch(INGRESSES.at(ObjectName("shop", name)), said) is None:
        world.server.create(INGRESSES, "shop", said)


def entries(world: Cluster, name: str) -> list[dict[str, Any]]:
    found = world.server.get(INGRESSES.at(ObjectName("shop", name)))
    assert found is not None
    return list(found.get("status", {}).get("loadBalancer", {}).get("ingress", []))


async def test_an_ingress_gets_an_address_that_the_service_of_its_class_shows_too() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    assert [{"ip": "192.0.2.1"}] == entries(world, "site")
    assert ["192.0.2.0", "192.0.2.1"] == world.addresses("nginx")
    assert ["Ingress"] == [owner["kind"] for owner in world.claim("192.0.2.1")["owners"]]
    assert ("Normal", "Allocated", "192.0.2.1 from pool public") in events(world.server)


async def test_an_ingress_that_goes_takes_its_address_with_it() -> None:
    world = await cluster()
    ingress(world, "site")
    ingress(world, "shop")
    await world.settle()
    world.server.delete(INGRESSES.at(ObjectName("shop", "site")))
    await world.settle()
    assert ["192.0.2.0", "192.0.2.2"] == world.addresses("nginx")
    assert world.claim("192.0.2.1")["released"]
    ingress(world, "site")
    await world.settle()
    assert [{"ip": "192.0.2.1"}] == entries(world, "site")


async def test_however_many_ingresses_come_and_go_in_a_minute_their_service_shows_who_is_there() -> None:
    world = await cluster()
    begun = world.now
    for number in range(1, 8):
        ingress(world, f"site-{number}")
        await world.settle()
    assert [f"192.0.2.{number}" for number in range(8)] == world.addresses("nginx")
    world.server.delete(INGRESSES.at(ObjectName("shop", "site-7")))
    await world.settle()
    assert world.now - begun < WITHIN
    assert [f"192.0.2.{number}" for number in range(7)] == world.addresses("nginx")
    assert "StatusContested" not in {reason for _, reason, _ in events(world.server)}


async def test_an_ingress_that_changes_its_class_gives_its_address_back() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    ingress(world, "site", of_class="other")
    await world.settle()
    assert ([], ["192.0.2.0"]) == (entries(world, "site"), world.addresses("nginx"))
    assert world.claim("192.0.2.1")["released"]


async def test_an_ingress_of_a_class_that_leads_to_no_service_is_not_touched() -> None:
    world = await cluster()
    before = world.server.writes
    ingress(world, "site", of_class="other")
    await world.settle()
    assert before + 1 == world.server.writes


async def test_an_ingress_gets_the_address_it_names() -> None:
    world = await cluster()
    ingress(world, "site", externalIP="192.0.2.9")
    await world.settle()
    assert [{"ip": "192.0.2.9"}] == entries(world, "site")


async def test_an_ingress_draws_from_the_pool_its_namespace_names() -> None:
    world = await cluster()
    world.pool("sales", "198.51.100.0/28", automatic=False)
    ingress(world, "site", **{"buoy.dev/pool": "sales"})
    await world.settle()
    assert [{"ip": "198.51.100.0"}] == entries(world, "site")
    assert ["192.0.2.0", "198.51.100.0"] == world.addresses("nginx")


async def test_an_ingress_without_address_is_told_why_and_served_when_the_cause_goes() -> None:
    world = await cluster()
    ingress(world, "site", **{"buoy.dev/pool": "sales"})
    await world.settle()
    assert [] == entries(world, "site")
    assert [("Warning", "PoolMissing")] == [each[:2] for each in events(world.server) if each[0] == "Warning"]
    world.pool("sales", "198.51.100.0/28")
    await world.settle()
    assert [{"ip": "198.51.100.0"}] == entries(world, "site")


async def test_an_ingress_whose_service_is_no_load_balancer_is_told_so() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    world.service("nginx", type="NodePort")
    await world.settle()
    assert [] == entries(world, "site")
    assert "ClassNotServed" in {reason for _, reason, _ in events(world.server)}
    world.service("nginx")
    await world.settle()
    assert (["192.0.2.0", "192.0.2.1"], [{"ip": "192.0.2.1"}]) == (world.addresses("nginx"), entries(world, "site"))


async def test_what_the_ingress_controller_itself_writes_is_left() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    both = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.0"}, {"ip": "192.0.2.1"}]}}}
    world.server.patch(INGRESSES.at(ObjectName("shop", "site"), "status"), both)
    before = world.server.writes
    await world.settle()
    assert before == world.server.writes


async def test_a_controller_that_starts_writes_nothing_over_ingresses_that_are_well() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    before = world.server.writes
    await world.restart()
    await world.settle()
    assert before == world.server.writes


async def test_a_service_that_goes_leaves_its_ingresses_without_address() -> None:
    world = await cluster()
    ingress(world, "site")
    await world.settle()
    world.delete("nginx")
    await world.settle()
    assert [] == [name for resource, name in world.server.objects if resource == SERVICES]
    assert [] == entries(world, "site")
    assert {True} == {bool(world.claim(at)["released"]) for at in ("192.0.2.0", "192.0.2.1")}


async def test_an_ingress_that_asks_for_an_address_is_told_what_its_class_does_not_say() -> None:
    world = await cluster()
    ingress(world, "site", of_class="other", **{"buoy.dev/pool": "public"})
    await world.settle()
    notes = [note for _, reason, note in events(world.server) if reason == "ClassNotServed"]
    assert ["kubectl annotate ingressclass other buoy.dev/service=NAMESPACE/NAME"] == [
        note.partition("; ")[2] for note in notes
    ]
    world.server.create(CLASSES, "", {"metadata": {"name": "other", "annotations": {FRONT: "shop/nginx"}}, "spec": {}})
    await world.settle()
    assert [{"ip": "192.0.2.1"}] == entries(world, "site")
