# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes lab for benches: pods to lead to, listeners in its machines, and a growing crowd of Services.

All moments are of one clock, CLOCK_MONOTONIC. The lab's kube-proxy may change its rules as soon as it likes, not
once a second as by default, so that it is not its pause that is measured.
"""

import asyncio
import contextlib
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import msgspec

from bench import cloudlab, kubernetes_crowd
from bench.kubernetes_crowd import NAMESPACE, SERVICES, SLICES, Status
from bench.kubernetes_ears import Ears, listening
from bench.report import tell
from buoy.kubernetes.objects import Metadata
from buoy.lab import kubernetes, pod
from buoy.lab.kubernetes import Plan
from buoy.lab.lab import Lab
from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from buoy.store.api_names import ObjectName, Selection

NODES = ("node-1", "node-2")
GATEWAYS = {node: kubernetes.node_addresses(number)[0] for number, node in enumerate(NODES, 1)}
_PATIENCE = 120.0
_MANY = 1_000


class Addresses:
    """When each Service was first heard to have an address."""

    def __init__(self) -> None:
        self.heard: dict[str, tuple[str, float]] = {}
        self._news = asyncio.Event()

    async def listen(self, api: ApiServer) -> None:
        """Listen until cancelled."""
        async for news in Informer(api, SERVICES, Status, selection=Selection(namespace=NAMESPACE)).news():
            at = time.monotonic()
            for name, found in news.changed.items():
                if found is not None and found.addresses:
                    self.heard.setdefault(name.name, (found.addresses[0], at))
            self._news.set()

    async def of(self, name: str) -> tuple[str, float]:
        """Wait for a Service to have an address; return it and when it was heard."""
        async with asyncio.timeout(_PATIENCE):
            while name not in self.heard:
                self._news.clear()
                await self._news.wait()
        return self.heard[name]


class _Endpoint(msgspec.Struct):
    conditions: dict[str, bool | None] = {}


class _Slice(msgspec.Struct):
    metadata: Metadata
    endpoints: tuple[_Endpoint, ...] = ()


class Slices:
    """When this process heard that the first endpoint of a slice is ready, or is not: as soon as an agent can."""

    def __init__(self) -> None:
        self._heard: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)

    async def listen(self, api: ApiServer) -> None:
        """Listen until cancelled."""
        async for news in Informer(api, SLICES, _Slice, selection=Selection(namespace=NAMESPACE)).news():
            moment = time.monotonic()
            for name, found in news.changed.items():
                if found is not None and found.endpoints:
                    self._heard[name.name].append((moment, found.endpoints[0].conditions.get("ready") is not False))

    async def of(self, name: str, *, ready: bool, since: float) -> float:
        """Wait to have heard this, and return when."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                for moment, said in self._heard[name]:
                    if moment >= since and said is ready:
                        return moment
                await asyncio.sleep(0.01)


class World:
    """One lab with a crowd of Services of a certain size."""

    def __init__(self, lab: Lab, api: ApiServer, tor: Ears, proxies: dict[str, Ears]) -> None:
        self.lab = lab
        self.api = api
        self.tor = tor
        self.proxies = proxies
        self.announcing: dict[str, Ears] = {}
        self.addresses = Addresses()
        self.slices = Slices()
        self.size = 0
        self.ends: tuple[tuple[str, str], ...] = ()

    async def grow(self, size: int) -> tuple[float, float]:
        """Have so many Services; return the seconds until all have an address, and until both nodes announce all.

        While many are made kube-proxy and the agents are stopped.
        """
        began = time.monotonic()
        numbers = range(self.size, size)
        many = len(numbers) > _MANY
        # each looks at every few Services as they come, on the processors that the API server needs
        for service in ("kube-proxy", "agent") if many else ():
            await self._services("stop", service)
        tell(f"making Services {self.size:,} to {size:,}")
        await kubernetes_crowd.fill(self.api, numbers, *self.ends)
        given = [await self.addresses.of(f"crowd-{number}") for number in numbers]
        all_given = max(at for _, at in given) - began
        tell(f"{size:,} Services have addresses")
        if many:
            await self._services("start", "kube-proxy")
            for node in NODES:
                await self.forwards(given[-1][0], node)
            await self._services("start", "agent")
        for address, _ in given:
            await self.announced(address)
        self.size = size
        took = time.monotonic() - began
        tell(f"{size:,} Services: addresses after {all_given:.1f} s, announced after {took:.1f}")
        return all_given, took

    async def _services(self, action: str, name: str) -> None:
        for node in NODES:
            await asyncio.to_thread(self.lab.service, action, node, name)

    async def announced(self, address: str, *nodes: str) -> float:
        """Wait until the ToR sends packets for an address to these nodes (none named: both); return the moment."""
        wanted = {GATEWAYS[node] for node in nodes or NODES}
        return await asyncio.to_thread(self.tor.became, address, wanted.__le__)

    async def withdrawn(self, address: str, since: float) -> float:
        """Wait until the ToR has no route for an address; return the moment."""
        return await asyncio.to_thread(self.tor.became, address, lambda now: not now, since)

    async def hop(self, address: str, node: str, *, there: bool = True, since: float = 0.0) -> float:
        """Wait until a node is a next hop for an address, or is none; return the moment."""
        gateway = GATEWAYS[node]
        return await asyncio.to_thread(self.tor.became, address, lambda now: (gateway in now) is there, since)

    async def forwards(self, address: str, node: str, since: float = 0.0) -> float:
        """Wait until kube-proxy on a node forwards an address; return the moment."""
        return await asyncio.to_thread(self.proxies[node].became, address, bool, since)

    async def decided(self, address: str, node: str, *, there: bool = True, since: float = 0.0) -> float:
        """Wait until a node's agent announces an address to its BIRD, or does so no more; return the moment."""
        return await asyncio.to_thread(self.announcing[node].became, address, lambda now: bool(now) is there, since)

    async def delete(self, name: str, address: str) -> None:
        """Delete a Service with its slice, and wait until nobody announces it or forwards it."""
        since = time.monotonic()
        await kubernetes_crowd.remove(self.api, [name])
        await self.withdrawn(address, since)
        for ears in (self.tor, *self.proxies.values(), *self.announcing.values()):
            # a node without an endpoint has never announced it
            if ears.history(address):
                await asyncio.to_thread(ears.became, address, lambda now: not now, since)
            ears.forget(address)
        self.addresses.heard.pop(name, None)

    def process(self, machine: str) -> int:
        """Return the process of Buoy on a machine."""
        return process_of(self.lab, machine)


@contextlib.asynccontextmanager
async def buoy(_lab: Lab, api: ApiServer) -> AsyncIterator[None]:
    """Have Buoy, which runs in the lab already, serve a pool."""
    await kubernetes_crowd.make_pool(api)
    yield


Server: TypeAlias = Callable[[Lab, ApiServer], AbstractAsyncContextManager[None]]
"""Makes Services of type LoadBalancer served in a lab while a block lasts."""


@contextlib.asynccontextmanager
async def world(room: str, plan: Plan = Plan(nodes=len(NODES)), server: Server = buoy) -> AsyncIterator[World]:  # noqa: B008  frozen
    """Bring up a lab with a pod on each node and somebody who serves Services, and take it down."""
    with _lab(room, plan) as lab, contextlib.ExitStack() as stack:
        for number, node in enumerate(NODES, 1):
            pod.run(lab, pod.Wish(name=f"pod-{number}", node=node))
        tor = stack.enter_context(listening(lab, "tor", "routes"))
        proxies = {node: stack.enter_context(listening(lab, node, "proxy")) for node in NODES}
        api = kubernetes_crowd.connect(lab)
        made = World(lab, api, tor, proxies)
        for node in () if plan.bare else NODES:
            made.announcing[node] = stack.enter_context(listening(lab, node, "announcements"))
        made.ends = tuple((row["addresses"][0], row["node"]) for row in pod.listing(lab))
        hearing = [asyncio.create_task(each.listen(api)) for each in (made.addresses, made.slices)]
        try:
            async with server(lab, api):
                yield made
        finally:
            for each in hearing:
                each.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)
            await api.close()


@contextlib.contextmanager
def _lab(room: str, plan: Plan) -> Iterator[Lab]:
    lab = Lab(f"bench-{room}-{os.getpid()}")
    try:
        yield lab.up_kubernetes(plan)
    finally:
        lab.down()


def process_of(lab: Lab, machine: str) -> int:
    """Return the process of agent or controller on a machine of a lab."""
    holder = Path(f"/proc/{cloudlab.process_of(lab, machine)}/ns/net").readlink()
    lines = subprocess.run(["pgrep", "-f", r"buoy.cli.main (agent|controller) run"], capture_output=True, text=True)  # noqa: PLW1510
    for word in lines.stdout.split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{word}/ns/net").readlink() == holder:
                return int(word)
    raise LookupError(f"no Buoy on {machine}")


def at(name: str) -> ObjectName:
    """Return what an object of the benches' namespace is called."""
    return ObjectName(NAMESPACE, name)
