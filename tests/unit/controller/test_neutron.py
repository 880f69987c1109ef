# SPDX-License-Identifier: Apache-2.0
"""A pool whose books Neutron keeps: what Services get of it, and what goes back."""

import asyncio
from collections.abc import Callable
from typing import Any

from buoy.controller.neutron_keeper import RELIST
from buoy.controller.observe import POOLS
from buoy.model.address import Address
from buoy.store.api_names import ObjectName
from tests.unit.controller.two_worlds import ADDRESSES, NAMES, SPARE, TwoWorlds


def story(tell: Callable[[], Any]) -> None:
    asyncio.run(tell())


class TestOnePool:
    def test_a_service_gets_an_address_whose_port_is_in_neutron_and_named_after_it(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a")
            await worlds.settle()
            worlds.check()
            worlds.check_settled()
            (address,) = worlds.shown()
            (uid,) = {spec["owners"][0]["uid"] for spec in worlds.claims().values() if "released" not in spec}
            names = {port.address: port.name for _, port in worlds.network.ports.values()}
            assert uid == names[address].split("/", 1)[1].removeprefix("shop/a/")

        story(tell)

    def test_an_address_that_is_asked_for_is_had_of_neutron(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a", loadBalancerIP="192.0.2.5")
            await worlds.settle()
            assert {"192.0.2.5": ["a"]} == worlds.shown()
            worlds.check_settled()

        story(tell)

    def test_an_address_that_openstack_has_is_not_had_and_the_service_is_told(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.network.floating.add(worlds.network.take(Address("192.0.2.5")))
            worlds.cluster.service("a", loadBalancerIP="192.0.2.5")
            await worlds.settle()
            assert {} == worlds.shown()
            assert "AddressNotPutAside" == worlds.cluster.condition("a")[1]
            assert "already allocated" in worlds.keepers[0].says("vms")
            worlds.network.sink(Address("192.0.2.5"))
            worlds.cluster.wait(11)
            await worlds.settle()
            assert {"192.0.2.5": ["a"]} == worlds.shown()

        story(tell)

    def test_an_address_whose_port_is_gone_and_that_openstack_gave_away_is_not_said_to_be_kept(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a")
            await worlds.settle()
            (address,) = worlds.shown()
            _, port = worlds.network.ports[worlds.ports()[address]]
            worlds.network.delete(port)
            worlds.network.floating.add(worlds.network.take(address))
            worlds.cluster.wait(61)
            await worlds.settle()
            assert (["a"], None) == (worlds.shown()[address], worlds.claims()[address].get("id"))
            assert "already allocated" in worlds.keepers[0].says("vms")
            worlds.network.sink(address)
            worlds.cluster.wait(11)
            await worlds.settle()
            assert {address: ["a"]} == worlds.shown()
            worlds.check()
            worlds.check_settled()

        story(tell)

    def test_a_port_that_cannot_be_made_again_is_not_looked_for_at_every_look(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a")
            await worlds.settle()
            (address,) = worlds.shown()
            _, port = worlds.network.ports[worlds.ports()[address]]
            worlds.network.delete(port)
            worlds.network.floating.add(worlds.network.take(address))
            worlds.cluster.wait(61)
            await worlds.settle()
            client, begun = worlds.clients[0], worlds.cluster.now
            before = client.listings
            await worlds.settle()
            assert client.listings - before <= (worlds.cluster.now - begun) / RELIST + 1

        story(tell)

    def test_what_was_put_aside_is_given_while_neutron_is_away_even_by_a_new_controller(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            await worlds.settle()
            worlds.set_away(away=True)
            await worlds.restart()
            for name in NAMES:
                worlds.cluster.service(name)
            await worlds.settle()
            assert SPARE == len(worlds.shown())
            worlds.check()
            worlds.set_away(away=False)
            await worlds.settle()
            assert len(NAMES) == len(worlds.shown())
            worlds.check_settled()

        story(tell)

    def test_a_port_goes_back_after_the_hold_down(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            for name in NAMES:
                worlds.cluster.service(name)
            await worlds.settle()
            for name in NAMES:
                worlds.cluster.delete(name)
            await worlds.settle()
            assert len(NAMES) + SPARE == len(worlds.ports())
            worlds.cluster.wait(301)
            await worlds.settle()
            assert 2 * SPARE == len(worlds.ports())
            worlds.check_settled()

        story(tell)

    def test_a_port_that_somebody_deleted_is_made_again_with_its_address(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a")
            await worlds.settle()
            (address,) = worlds.shown()
            for _, port in tuple(worlds.network.ports.values()):
                worlds.network.delete(port)
            worlds.cluster.wait(61)
            await worlds.settle()
            assert {address: ["a"]} == worlds.shown()
            worlds.check()
            worlds.check_settled()

        story(tell)

    def test_a_full_subnet_is_said_of_the_pool(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            for _ in ADDRESSES:
                worlds.network.float()
            worlds.cluster.service("a")
            await worlds.settle()
            assert "NonePutAside" == worlds.cluster.condition("a")[1]
            assert (
                "Neutron: IpAddressGenerationFailure: No more IP addresses available",
            ) == worlds.cluster.controllers[0].world.pools.remarks("vms")

        story(tell)

    def test_a_pool_that_goes_gives_back_what_nobody_has(self) -> None:
        async def tell() -> None:
            worlds = TwoWorlds()
            worlds.cluster.service("a")
            await worlds.settle()
            worlds.cluster.server.delete(POOLS.at(ObjectName("", "vms")))
            await worlds.settle()
            assert set(worlds.shown()) == set(worlds.ports())

        story(tell)
