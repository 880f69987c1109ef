# SPDX-License-Identifier: Apache-2.0
"""As much of Neutron as keeps addresses, in memory; its calls wait for the test's word, as those of `cluster` do."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from buoy.controller.neutron_ports import NeutronAway, NeutronRefused, Port
from buoy.model.address import Address
from buoy.model.errors import StoreUnavailable
from tests.unit.controller.cluster import Call

SUBNET = "5f1c5ad0-0000-4000-8000-000000000001"


class Network:
    """A subnet's addresses, each with whoever has it: a port of ours, or a floating IP of OpenStack's."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.free = [Address(text) for text in addresses]
        self.ports: dict[str, tuple[str, Port]] = {}
        self.floating: set[Address] = set()
        self._made = 0

    def take(self, wanted: Address | None = None) -> Address:
        """Have an address, or raise as Neutron refuses."""
        if wanted is not None and wanted not in self.free:
            raise NeutronRefused(409, "IpAddressAlreadyAllocated", f"IP address {wanted} already allocated")
        if not self.free:
            raise NeutronRefused(409, "IpAddressGenerationFailure", "No more IP addresses available")
        # not the lowest: nobody may rely on an order
        address = wanted or self.free[(7 * self._made) % len(self.free)]
        self.free.remove(address)
        return address

    def float(self) -> None:
        """Give an address to a floating IP of OpenStack's, if there is one."""
        if self.free:
            self.floating.add(self.take())

    def sink(self, address: Address) -> None:
        """Delete a floating IP."""
        self.floating.remove(address)
        self.free.append(address)

    def of(self, cluster: str) -> list[Port]:
        """Return the ports of a cluster."""
        return [port for owner, port in self.ports.values() if owner == cluster]

    def create(self, cluster: str, name: str, wanted: Sequence[Address | None]) -> list[Port]:
        """Make ports, all or none."""
        taken: list[Address] = []
        try:
            taken.extend(self.take(each) for each in wanted)
        except NeutronRefused:
            self.free += taken
            raise
        made = []
        for address in taken:
            self._made += 1
            made.append(Port(f"port-{self._made}", name, SUBNET, address, 1))
        self.ports |= {port.id: (cluster, port) for port in made}
        return made

    def rename(self, port: Port, name: str) -> Port:
        """Call a port otherwise."""
        owner, now = self._as_read(port)
        self.ports[port.id] = owner, now._replace(name=name, revision=now.revision + 1)
        return self.ports[port.id][1]

    def delete(self, port: Port) -> None:
        """Delete a port."""
        if port.id in self.ports:
            self._as_read(port)
            del self.ports[port.id]
            self.free.append(port.address)

    def _as_read(self, port: Port) -> tuple[str, Port]:
        if port.id not in self.ports:
            raise NeutronRefused(404, "PortNotFound", port.id)
        owner, now = self.ports[port.id]
        if now.revision != port.revision:
            raise NeutronRefused(412, "RevisionNumberConstraintFailed", port.id)
        return owner, now


class Client:
    """A client of Neutron whose calls wait in `calls`; while `away` nobody answers."""

    def __init__(self, network: Network, calls: list[Call]) -> None:
        self.network = network
        self.away = False
        self.listings = 0
        self._calls = calls

    async def ports(self, cluster: str) -> list[Port]:
        self.listings += 1
        return list(await self._call("list ports", lambda: self.network.of(cluster)))

    async def create(self, cluster: str, name: str, subnet: str, wanted: Sequence[Address | None]) -> list[Port]:
        assert subnet == SUBNET
        return list(await self._call("create ports", lambda: self.network.create(cluster, name, wanted)))

    async def rename(self, port: Port, name: str) -> Port:
        found = await self._call(f"rename {port.id}", lambda: self.network.rename(port, name))
        assert isinstance(found, Port)
        return found

    async def delete(self, port: Port) -> None:
        await self._call(f"delete {port.id}", lambda: self.network.delete(port))

    async def _call(self, text: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401  what each returns
        if self.away:
            raise NeutronAway(f"{text}: no answer")
        call = Call(text, lambda: _outcome(act), asyncio.get_running_loop().create_future())
        self._calls.append(call)
        try:
            found = await call.outcome
        except StoreUnavailable as error:
            raise NeutronAway(str(error)) from error
        finally:
            if call in self._calls:
                self._calls.remove(call)
        if isinstance(found, NeutronRefused):
            raise found
        return found


def _outcome(act: Callable[[], Any]) -> Any:  # noqa: ANN401  what it returns, or what it refuses with
    try:
        return act()
    except NeutronRefused as error:
        return error
