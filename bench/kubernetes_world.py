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
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench import cloudlab, kubernetes_crowd
from bench.kubernetes_crowd import NAMESPACE, SERVICES, Status
from bench.kubernetes_ears import Ears, listening
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


class World:
    """One lab with a crowd of Services of a certain size."""

    def __init__(self, lab: Lab, api: ApiServer, tor: Ears, proxies: dict[str, Ears]) -> None:
        self.lab = lab
        self.api = api
        self.tor = tor
        self.proxies = proxies
        self.addresses = Addresses()
        self.size = 0
        self.ends: tuple[tuple[str, str], ...] = ()

    async def grow(self, size: int) -> tuple[float, float]:
        """Have so many Services; return the seconds until all have an address, and until both nodes announce all.

        While many are made kube-proxy is stopped.
        """
        began = time.monotonic()
        numbers = range(self.size, size)
        # it changes its rules for every few Services, and each time it looks at all of them
        await self._kube_proxies("stop", numbers)
        await kubernetes_crowd.fill(self.api, numbers, *self.ends)
        given = [await self.addresses.of(f"crowd-{number}") for number in numbers]
        all_given = max(at for _, at in given) - began
        await self._kube_proxies("start", numbers)
        for address, _ in given:
            await self.announced(address)
        self.size = size
        took = time.monotonic() - began
        print(f"{size:,} Services: addresses after {all_given:.1f} s, announced after {took:.1f}", flush=True)
        return all_given, took

    async def _kube_proxies(self, action: str, numbers: range) -> None:
        for node in NODES if len(numbers) > _MANY else ():
            await asyncio.to_thread(self.lab.service, action, node, "kube-proxy")

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

    async def delete(self, name: str, address: str) -> None:
        """Delete a Service with its slice, and wait until nobody announces it or forwards it."""
        since = time.monotonic()
        await kubernetes_crowd.remove(self.api, [name])
        await self.withdrawn(address, since)
        for ears in (self.tor, *self.proxies.values()):
            await asyncio.to_thread(ears.became, address, lambda now: not now, since)
            ears.forget(address)
        self.addresses.heard.pop(name, None)

    def process(self, machine: str) -> int:
        """Return the process of Buoy on a machine."""
        return process_of(self.lab, machine)


@contextlib.asynccontextmanager
async def world(room: str) -> AsyncIterator[World]:
    """Bring up a lab with a pool and a pod on each node, and take it down."""
    with _lab(room) as lab, contextlib.ExitStack() as stack:
        for number, node in enumerate(NODES, 1):
            pod.run(lab, pod.Wish(name=f"pod-{number}", node=node))
        tor = stack.enter_context(listening(lab, "tor", "routes"))
        proxies = {node: stack.enter_context(listening(lab, node, "proxy")) for node in NODES}
        api = kubernetes_crowd.connect(lab)
        made = World(lab, api, tor, proxies)
        made.ends = tuple((row["addresses"][0], row["node"]) for row in pod.listing(lab))
        await kubernetes_crowd.make_pool(api)
        hearing = asyncio.create_task(made.addresses.listen(api))
        try:
            yield made
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await api.close()


@contextlib.contextmanager
def _lab(room: str) -> Iterator[Lab]:
    lab = Lab(f"bench-{room}-{os.getpid()}")
    try:
        yield lab.up_kubernetes(Plan(nodes=len(NODES)))
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
