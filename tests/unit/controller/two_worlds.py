# SPDX-License-Identifier: Apache-2.0
"""A cluster and a Neutron that share a subnet, both in memory, and what must be true of them at any moment."""

import asyncio
import contextlib

from buoy.controller.claims import CLAIMS
from buoy.controller.neutron_keeper import Keeper, Means
from buoy.controller.writes import Writes
from buoy.kubernetes.resources import NAMESPACES
from buoy.model.address import Address
from buoy.model.errors import BuoyError
from tests.unit.controller.cluster import METRICS, Cluster, spin
from tests.unit.controller.neutron import SUBNET, Client, Network
from tests.unit.controller.server import Json

NAMES = ("a", "b", "c", "d")
ADDRESSES = tuple(f"192.0.2.{number}" for number in range(8))
SPARE = 1


class TwoWorlds:
    """A cluster and a Neutron that share a subnet; each controller with its keeper."""

    def __init__(self, controllers: int = 1, addresses: tuple[str, ...] = ADDRESSES) -> None:
        self.cluster = Cluster(controllers)
        self.cluster.server.create(NAMESPACES, "", {"metadata": {"name": "kube-system"}})
        self.network = Network(addresses)
        self.cluster.pool("vms", "192.0.2.0/29", registry="neutron", subnet=SUBNET, holdDown=300.0)
        self.clients: list[Client] = []
        self.keepers: list[Keeper] = []
        self.looks: list[asyncio.Task[None] | None] = [None] * controllers
        for index in range(controllers):
            self._employ(index)

    def _employ(self, index: int) -> None:
        controller = self.cluster.controllers[index]
        client = Client(self.network, controller.api.calls)
        means = Means(client, Writes(controller.api), METRICS.log, lambda: self.cluster.now, lambda: True, lambda: None)
        self.clients[index : index + 1] = [client]
        self.keepers[index : index + 1] = [Keeper(controller.world, means, SPARE)]

    async def look(self, index: int) -> None:
        """Let a keeper take a look, unless it still does."""
        task = self.looks[index]
        if task is None or task.done():
            self.looks[index] = asyncio.create_task(self._look(self.keepers[index]))
            await spin()

    async def _look(self, keeper: Keeper) -> None:
        with contextlib.suppress(BuoyError):
            await keeper.look()

    async def restart(self, index: int = 0) -> None:
        """Kill a controller in the middle of whatever it does, and start another in its place."""
        task = self.looks[index]
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        away = self.clients[index].away
        await self.cluster.restart(index)
        self._employ(index)
        self.clients[index].away = away

    def set_away(self, *, away: bool) -> None:
        """Let Neutron answer, or not."""
        for client in self.clients:
            client.away = away

    async def settle(self) -> None:
        """Let everything be heard, decided and written, and what was refused be tried again."""
        for _ in range(30):
            for index in range(len(self.keepers)):
                await self.look(index)
            await self.cluster.settle()
            self.cluster.wait(5)

    def claims(self) -> dict[Address, Json]:
        """Return the claims by address."""
        found = (each["spec"] for (at, _), each in self.cluster.server.objects.items() if at == CLAIMS)
        return {Address(spec["address"]): spec for spec in found}

    def shown(self) -> dict[Address, list[str]]:
        """Return which Services show which address."""
        found: dict[Address, list[str]] = {}
        for name in self.services():
            for address in self.cluster.addresses(name):
                found.setdefault(Address(address), []).append(name)
        return found

    def services(self) -> list[str]:
        """Return the Services that there are."""
        return [name for name in NAMES if self.cluster.server.get(self.cluster.at(name)) is not None]

    def ports(self) -> dict[Address, str]:
        """Return the ids of our ports by address."""
        return {port.address: port.id for _, port in self.network.ports.values()}

    def check(self) -> None:
        """No address is had twice, within a world or across; and who has one has its port."""
        shown, ports = self.shown(), self.ports()
        assert {} == {address: names for address, names in shown.items() if len(names) > 1}
        assert set() == set(shown) & self.network.floating
        live = {address for address, spec in self.claims().items() if "released" not in spec}
        assert set() == live - set(ports)
        assert set() == set(shown) - set(ports)

    def check_settled(self) -> None:
        """Ports and claims agree, nothing is kept that nobody needs, and nobody waits while there is something."""
        claims, ports = self.claims(), self.ports()
        assert ports == {address: spec["id"] for address, spec in claims.items() if spec.get("id")}
        live = {address: spec for address, spec in claims.items() if "released" not in spec}
        assert set(live) == set(self.shown())
        assert {*ports, *self.network.floating, *self.network.free} == set(map(Address, ADDRESSES))
        if self.network.free:
            waits = [name for name in self.services() if self.cluster.condition(name)[0] == "False"]
            # who asks for an address by name waits for that one
            assert [] == [n for n in waits if "loadBalancerIP" not in self.cluster.found(n)["spec"]]
        assert len(ports) - len(live) <= 2 * SPARE
