# SPDX-License-Identifier: Apache-2.0
"""An API server set back to a backup: nobody is given what the store has forgotten that others have."""

import copy
import datetime as dt
from typing import Any, cast

import pytest

from buoy.controller.claims import CLAIMS
from buoy.controller.reading import Ours
from buoy.controller.subject import Claim
from buoy.controller.upkeep import upkeep
from buoy.controller.world import MEMORY, World
from buoy.controller.writes import Writes
from buoy.kubernetes.escaping import escape
from buoy.model.address import Address
from buoy.model.service_ip import Identity, Owner, ServiceIP
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import START, Cluster, spin
from tests.unit.controller.test_pods import WISH, leads_to, pod

FIRST, SECOND = "192.0.2.1", "192.0.2.2"
BUMPED = 1_000_000


async def cluster(*prefixes: str, **more: Any) -> Cluster:  # noqa: ANN401  JSON
    """Return a cluster in which `old` has the first address."""
    found = Cluster(2)
    found.pool("public", *(prefixes or ("192.0.2.0/29",)), exclude=["192.0.2.0/32"], **more)
    found.service("old")
    await found.settle()
    return found


def release(world: Cluster, address: str) -> None:
    """Do what `buoy service-ip release` does."""
    at = CLAIMS.at(ObjectName("", escape(Address(address))))
    assert world.server.patch(at, {"spec": {"lost": False}})


@pytest.mark.parametrize("ahead", [0, BUMPED], ids=["revision went back", "revision was raised"])
async def test_an_address_that_the_store_forgot_is_given_to_nobody_else(ahead: int) -> None:
    world = await cluster()
    backup = copy.deepcopy(world.server)
    world.service("new")
    await world.settle()
    world.set_back(backup, ahead=ahead)
    world.service("other")
    await world.settle()
    world.wait(100_000)
    await world.settle()
    assert ([FIRST], ["192.0.2.3"]) == (world.addresses("old"), world.addresses("other"))
    assert (True, "new") == (world.claim(SECOND)["lost"], world.claim(SECOND)["owners"][0]["name"])


async def test_who_had_it_and_is_made_anew_has_it_back() -> None:
    world = await cluster()
    backup = copy.deepcopy(world.server)
    world.service("new")
    await world.settle()
    world.set_back(backup)
    world.service("other")
    await world.settle()
    world.service("new")
    await world.settle()
    claim = world.claim(SECOND)
    assert [SECOND] == world.addresses("new")
    assert (False, world.found("new")["metadata"]["uid"]) == (claim.get("lost", False), claim["owners"][0]["uid"])


async def test_who_waited_when_the_backup_was_made_has_what_it_got_since() -> None:
    world = await cluster()
    world.service("late")
    backup = copy.deepcopy(world.server)
    world.service("early")
    await world.settle()
    before = world.addresses("late")
    world.set_back(backup)
    await world.settle()
    assert before == world.addresses("late")
    assert not world.claim(before[0]).get("lost", False)


async def test_a_person_gives_up_what_was_lost_and_it_is_held_down_first() -> None:
    world = await cluster("192.0.2.1/32", SECOND + "/32")
    backup = copy.deepcopy(world.server)
    world.service("new")
    await world.settle()
    world.set_back(backup)
    world.service("other")
    await world.settle()
    release(world, SECOND)
    await world.settle()
    assert (True, []) == (bool(world.claim(SECOND)["released"]), world.addresses("other"))
    world.wait(301)
    await world.settle()
    assert [SECOND] == world.addresses("other")


async def test_where_the_backup_says_that_somebody_has_the_address_the_backup_counts() -> None:
    world = await cluster("192.0.2.1/32")
    backup = copy.deepcopy(world.server)
    world.delete("old")
    world.service("heir")
    await world.settle()
    world.wait(301)
    await world.settle()
    assert [FIRST] == world.addresses("heir")
    world.set_back(backup, ahead=BUMPED)
    await world.settle()
    assert [FIRST] == world.addresses("old")
    assert ("old", False) == (world.claim(FIRST)["owners"][0]["name"], world.claim(FIRST).get("lost", False))


async def test_where_the_backup_says_that_the_address_was_released_it_is_whose_it_became() -> None:
    world = await cluster("192.0.2.1/32")
    world.delete("old")
    await world.settle()
    backup = copy.deepcopy(world.server)
    world.wait(301)
    world.service("heir")
    await world.settle()
    world.set_back(backup, ahead=BUMPED)
    world.service("other")
    await world.settle()
    assert [] == world.addresses("other")
    assert ("heir", True) == (world.claim(FIRST)["owners"][0]["name"], world.claim(FIRST)["lost"])


async def test_what_was_released_since_the_backup_is_held_down_as_long_as_ever() -> None:
    world = await cluster("192.0.2.1/32", SECOND + "/32")
    backup = copy.deepcopy(world.server)
    world.service("brief")
    await world.settle()
    world.delete("brief")
    await world.settle()
    world.set_back(backup)
    world.service("other")
    await world.settle()
    assert ([], False) == (world.addresses("other"), world.claim(SECOND).get("lost", False))
    world.wait(301)
    await world.settle()
    assert [SECOND] == world.addresses("other")


async def test_who_leads_next_writes_what_the_leader_of_before_had_not_written_yet() -> None:
    world = await cluster()
    backup = copy.deepcopy(world.server)
    world.service("new")
    await world.settle()
    world.set_back(backup)
    await spin()
    await world.controllers[0].kill()
    del world.controllers[0]
    world.controllers[0].world.changed.clear()
    world.controllers[0].world.everything()
    await world.settle()
    assert world.claim(SECOND)["lost"]


@pytest.mark.parametrize("declared", [True, False], ids=["asked for", "given by hand"])
async def test_a_floating_ip_whose_pod_the_store_forgot_leads_where_it_led(declared: bool) -> None:
    world = Cluster()
    world.pool("gold", "192.0.2.0/30", automatic=False)
    for controller in world.controllers:
        controller.telling()
    await world.settle()
    backup = copy.deepcopy(world.server)
    pod(world, "db-0", annotations={WISH: "gold"} if declared else {})
    if not declared:
        owner = {"kind": "Pod", "namespace": "shop", "name": "db-0"}
        made = {"metadata": {"name": "192.0.2.0"}, "spec": {"address": "192.0.2.0", "owners": [owner]}}
        world.server.create(CLAIMS, "", made)
    await world.settle()
    led = leads_to(world, "192.0.2.0")
    world.set_back(backup)
    pod(world, "other", "10.244.0.9", annotations={WISH: "gold"})
    await world.settle()
    assert (led, True) == (leads_to(world, "192.0.2.0"), world.claim("192.0.2.0")["lost"])
    assert [("shop/other", "10.244.0.9", "node-1")] == leads_to(world, "192.0.2.1")
    pod(world, "db-0", "10.244.1.2", "node-2", annotations={WISH: "gold"} if declared else {})
    await world.settle()
    assert [("shop/db-0", "10.244.1.2", "node-2")] == leads_to(world, "192.0.2.0")
    assert not world.claim("192.0.2.0").get("lost", False)


async def test_a_shared_address_is_lost_no_more_once_all_of_its_owners_are_back() -> None:
    world = await cluster()
    backup = copy.deepcopy(world.server)
    key = {"buoy.dev/sharing-key": "mail"}
    for name, port in (("one", 25), ("two", 143)):
        world.service(name, key, ports=[{"port": port}])
        await world.settle()
    assert ([SECOND], [SECOND]) == (world.addresses("one"), world.addresses("two"))
    world.set_back(backup)
    await world.settle()
    lost = []
    for name, port in (("two", 143), ("one", 25)):
        world.service(name, key, ports=[{"port": port}])
        await world.settle()
        assert [SECOND] == world.addresses(name)
        lost.append(world.claim(SECOND).get("lost", False))
    assert [True, False] == lost, "whoever is not back yet keeps its part until a person says otherwise"
    world.delete("two")
    await world.settle()
    assert ["one"] == [owner["name"] for owner in world.claim(SECOND)["owners"]]


async def test_an_owner_that_was_not_listed_anew_yet_is_not_taken_for_one_that_is_back() -> None:
    world = await cluster()
    backup = copy.deepcopy(world.server)
    world.service("new")
    await world.settle()
    gone = tuple(world.server.objects)
    world.server.objects, world.server.version = copy.deepcopy(backup.objects), backup.version
    for controller in world.controllers:
        controller.list_again(key for key in gone if key[0] == CLAIMS)
    await world.settle()
    for controller in world.controllers:
        controller.list_again(gone)
    await world.settle()
    assert (True, None) == (world.claim(SECOND)["lost"], world.claim(SECOND).get("released"))


class Nowhere:
    """Writes that nobody may ask for."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  a call
        pytest.fail(f"{name}: by its name alone a claim may be another's by now")


async def test_what_was_forgotten_before_it_was_written_again_is_deleted_nowhere() -> None:
    world, at = World(Ours()), Address(FIRST)
    owner = Owner(kind="Service", namespace="shop", name="old")
    world.claim(Claim(ServiceIP(address=at, owners=(owner,), released=START), ""))
    work = upkeep(Identity("", MEMORY, "", at), world, cast("Writes", Nowhere()), START + dt.timedelta(days=400))
    assert work is not None
    await work
    assert {} == world.books.claims
