# SPDX-License-Identifier: Apache-2.0
"""What becomes of Services, told from outside: what people do, and what then stands in the API server."""

from typing import Any

import pytest

from buoy.controller.claims import CLAIMS
from buoy.kubernetes.resources import SERVICES
from buoy.store.api_names import ObjectName, Resource
from tests.unit.controller.cluster import Cluster, at, events
from tests.unit.controller.server import Json

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
VIP = {"ip": "192.0.2.1", "ipMode": "VIP"}


async def cluster(*prefixes: str, **more: Any) -> Cluster:  # noqa: ANN401  JSON
    found = Cluster()
    found.pool("public", *(prefixes or ("192.0.2.1/32", "192.0.2.2/32")), **more)
    await found.settle()
    return found


async def test_a_service_gets_an_address_of_a_pool() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("web")
    assert ("True", "Allocated", "192.0.2.1 from pool public") == world.condition("web")
    assert [FINALIZER] == world.found("web")["metadata"]["finalizers"]
    assert "public" == world.claim("192.0.2.1")["pool"]


async def test_what_nobody_changed_is_not_written_again_by_a_controller_that_starts() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    before = world.server.writes
    await world.restart()
    await world.settle()
    assert before == world.server.writes


async def test_a_deleted_service_is_gone_and_its_claim_says_since_when() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.delete("web")
    await world.settle()
    assert world.server.get(at("web")) is None
    assert world.claim("192.0.2.1")["released"]


@pytest.mark.parametrize("watch_first", [False, True])
async def test_an_address_that_a_service_named_itself_is_free_again_whatever_is_told_first(
    *, watch_first: bool
) -> None:
    world = await cluster("192.0.2.0/29", holdDown=5)
    world.service("named", type="ClusterIP", externalIPs=["192.0.2.5"])
    await world.settle()
    world.service("wants", loadBalancerIP="192.0.2.5")
    await world.settle()
    assert "AddressTaken" == world.condition("wants")[1]
    world.delete("named")
    await world.settle(watch_first=watch_first)
    world.wait(6)
    await world.settle()
    assert ["192.0.2.5"] == world.addresses("wants")


async def test_a_claim_that_a_hand_deleted_before_its_write_was_answered_is_written_again() -> None:
    world = await cluster()
    create = world.server.create

    def deleted_at_once(resource: Resource, namespace: str, body: Json) -> Json:
        made = create(resource, namespace, body)
        if resource == CLAIMS:
            world.server.create = create  # type: ignore[method-assign]
            world.server.delete(CLAIMS.at(ObjectName("", made["metadata"]["name"])))
        return made

    world.server.create = deleted_at_once  # type: ignore[method-assign]
    world.service("web")
    await world.settle(watch_first=True)
    assert ["web"] == [owner["name"] for owner in world.claim("192.0.2.1")["owners"]]


async def test_a_service_made_anew_gets_its_address_back() -> None:
    world = await cluster("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32")
    world.service("web")
    world.service("dns")
    await world.settle()
    world.delete("dns")
    await world.settle()
    world.service("new")
    world.service("dns")
    await world.settle()
    assert (["192.0.2.2"], ["192.0.2.3"]) == (world.addresses("dns"), world.addresses("new"))
    assert "released" not in world.claim("192.0.2.2")


async def test_a_service_deleted_and_made_anew_while_no_controller_ran_keeps_its_address() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.server.patch(at("web"), {"metadata": {"finalizers": None}})
    world.delete("web")
    world.service("web")
    await world.restart()
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("web")
    assert world.found("web")["metadata"]["uid"] == world.claim("192.0.2.1")["owners"][0]["uid"]


async def test_the_claim_of_a_service_that_vanished_without_us_is_released() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.server.patch(at("web"), {"metadata": {"finalizers": None}})
    world.delete("web")
    await world.restart()
    await world.settle()
    assert world.claim("192.0.2.1")["released"]


async def test_a_released_address_goes_to_another_only_after_its_hold_down() -> None:
    world = await cluster("192.0.2.1/32")
    world.service("web")
    await world.settle()
    world.delete("web")
    world.service("dns")
    await world.settle()
    assert [] == world.addresses("dns")
    assert ("False", "PoolFull") == world.condition("dns")[:2]
    world.wait(300)
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("dns")
    assert ["dns"] == [owner["name"] for owner in world.claim("192.0.2.1")["owners"]]


async def test_a_claim_is_forgotten_when_its_owner_is_not_expected_back() -> None:
    world = await cluster(remember=1000.0)
    world.service("web")
    await world.settle()
    world.delete("web")
    await world.settle()
    world.wait(1000)
    await world.settle()
    assert [] == [name for resource, name in world.server.objects if resource.plural == "serviceips"]


async def test_a_service_that_becomes_a_cluster_ip_gives_its_address_back() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.service("web", type="ClusterIP")
    await world.settle()
    assert [] == world.found("web")["metadata"]["finalizers"]
    assert ("", "", "") == world.condition("web")
    assert world.claim("192.0.2.1")["released"]


async def test_a_service_of_another_class_is_not_touched() -> None:
    world = await cluster()
    world.service("web", loadBalancerClass="example.net/other")
    await world.settle()
    before = world.found("web")
    world.server.patch(at("web", "status"), {"status": {"loadBalancer": {"ingress": [VIP]}}})
    await world.settle()
    assert int(before["metadata"]["resourceVersion"]) + 1 == int(world.found("web")["metadata"]["resourceVersion"])


async def test_a_wiped_status_comes_back() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.server.patch(at("web", "status"), {"status": {"loadBalancer": None, "conditions": None}})
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("web")
    assert ("True", "Allocated") == world.condition("web")[:2]


async def test_conditions_and_entries_of_others_stay() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    theirs = {"type": "example.net/Ready", "status": "True", "reason": "Yes", "message": "", "more": 1}
    entry = {"ip": "198.51.100.1", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP", "error": "X"}]}
    world.server.patch(at("web", "status"), {"status": {"loadBalancer": {"ingress": [entry]}, "conditions": [theirs]}})
    await world.settle()
    status = world.found("web")["status"]
    assert [VIP, entry] == status["loadBalancer"]["ingress"]
    assert theirs == status["conditions"][0]


async def test_a_pool_that_shrinks_yanks_nothing_and_tells() -> None:
    world = await cluster("192.0.2.0/30")
    world.service("web")
    await world.settle()
    world.pool("public", "192.0.2.128/30")
    await world.settle()
    assert ["192.0.2.0"] == world.addresses("web")
    assert ("True", "OutsidePool") == world.condition("web")[:2]
    world.pool("public", "192.0.2.0/30")
    await world.settle()
    assert ("True", "Allocated") == world.condition("web")[:2]


async def test_a_pool_that_drains_keeps_who_is_there_and_takes_nobody() -> None:
    world = await cluster()
    world.service("web")
    await world.settle()
    world.pool("public", "192.0.2.1/32", "192.0.2.2/32", draining=True)
    world.service("dns")
    await world.settle()
    assert (["192.0.2.1"], []) == (world.addresses("web"), world.addresses("dns"))
    assert (("True", "PoolDraining"), ("False", "PoolDraining")) == (
        world.condition("web")[:2],
        world.condition("dns")[:2],
    )


async def test_a_service_that_waits_is_served_when_a_pool_appears() -> None:
    world = Cluster()
    world.service("web")
    await world.settle()
    assert ("False", "NoPool") == world.condition("web")[:2]
    world.pool("public", "192.0.2.1/32")
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("web")


async def test_a_service_that_waits_is_served_when_its_namespace_is_labelled() -> None:
    world = Cluster()
    world.pool("public", "192.0.2.1/32", namespaceSelectors=[{"matchLabels": {"tier": "gold"}}])
    world.service("web")
    await world.settle()
    assert ("False", "NotForNamespace") == world.condition("web")[:2]
    namespaces = next(resource for resource, _ in world.server.objects if resource.plural == "namespaces")
    world.server.patch(namespaces.at(ObjectName("", "shop")), {"metadata": {"labels": {"tier": "gold"}}})
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("web")


async def test_one_deletion_writes_no_other_services_status() -> None:
    world = await cluster("192.0.2.0/30")
    for name in ("a", "b", "c", "d", "waits-1", "waits-2"):
        world.service(name)
    await world.settle()
    names = [name for resource, name in world.server.objects if resource == SERVICES and name.name != "b"]
    before = {name: world.found(name.name)["metadata"]["resourceVersion"] for name in names}
    world.delete("b")
    await world.settle()
    assert before == {name: world.found(name.name)["metadata"]["resourceVersion"] for name in names}


async def test_a_claim_that_cannot_be_read_takes_its_address() -> None:
    world = await cluster()
    claims = next(iter(world.server.objects))[0]._replace(plural="serviceips", group="buoy.dev", version="v1")
    world.server.create(claims, "", {"metadata": {"name": "192.0.2.1"}, "spec": {"mode": "proxied", "pool": 7}})
    world.service("web")
    await world.settle()
    assert ["192.0.2.2"] == world.addresses("web")
    world.service("dns")
    await world.settle()
    assert ("False", "PoolFull") == world.condition("dns")[:2]
    world.server.delete(claims.at(ObjectName("", "192.0.2.1")))
    await world.settle()
    assert ["192.0.2.1"] == world.addresses("dns"), "it is free as soon as the claim is gone"


@pytest.mark.parametrize("theirs", [("192.0.2.2",), ("198.51.100.1", "198.51.100.2")], ids=["one", "by turns"])
async def test_a_status_that_somebody_else_keeps_writing_is_left_alone_for_a_while_and_told(
    theirs: tuple[str, ...],
) -> None:
    world = await cluster()
    world.controllers[0].telling()
    world.service("web")
    await world.settle()
    before = world.server.writes
    for turn in range(20):
        entry = {"ip": theirs[turn % len(theirs)]}
        world.server.patch(at("web", "status"), {"status": {"loadBalancer": {"ingress": [entry]}}})
        await world.settle()
    # theirs, and ours a few times, and Events
    assert world.server.writes - before < 20 + 5 + 20
    assert "StatusContested" in {reason for _, reason, _ in events(world.server)}
    world.wait(60)
    await world.settle()
    assert "192.0.2.1" in world.addresses("web")
