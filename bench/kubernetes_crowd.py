# SPDX-License-Identifier: Apache-2.0
"""Thousands of Services and their slices in an API server, as benches and tests load them.

Each Service has one port and, without a selector, an EndpointSlice written by hand, so that none of Kubernetes'
own controllers is measured. None has a node port, of which a cluster has fewer than 2,768.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from buoy.lab.lab import Lab
from buoy.store.api_client import ApiServer, encoded
from buoy.store.api_config import find
from buoy.store.api_names import ObjectName, Resource, Selection, Target
from buoy.store.api_transport import Request

SERVICES = Resource("", "v1", "services", True)
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", True)
POOLS = Resource("buoy.dev", "v1", "pools", False)
CLAIMS = Resource("buoy.dev", "v1", "serviceips", False)
NAMESPACE = "default"
POOL = "198.18.0.0/15"
"""Of addresses for benchmarks: RFC 2544."""
PORT = 80
_AT_ONCE = 12
_DEADLINE = 60.0
_PATIENCE = 600.0


class Status(msgspec.Struct):
    """What a bench reads of a Service."""

    metadata: dict[str, Any]
    status: dict[str, Any]

    @property
    def addresses(self) -> list[str]:
        """The load-balancer addresses."""
        return [each["ip"] for each in (self.status.get("loadBalancer") or {}).get("ingress") or ()]


def connect(lab: Lab) -> ApiServer:
    """Return a client of a lab's API server; it belongs to the event loop that uses it first."""
    return ApiServer(find(lab.env()["KUBECONFIG"]))


def service(name: str, policy: str = "Cluster", **spec: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """Return a Service of type LoadBalancer that nobody selects endpoints for."""
    wanted = {
        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "externalTrafficPolicy": policy,
        "ports": [{"name": "http", "port": PORT, "targetPort": 8080}], **spec,
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": wanted}


def endpoints(name: str, *ends: tuple[str, str], ready: bool = True) -> dict[str, Any]:
    """Return the slice of a Service: pods by address and node."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "nodeName": node, "conditions": {"ready": ready, "serving": ready}}
            for address, node in ends
        ],
    }


async def make_pool(api: ApiServer, prefix: str = POOL) -> None:
    """Make the pool from which every Service draws."""
    body = {
        "apiVersion": "buoy.dev/v1", "kind": "Pool", "metadata": {"name": "bench"}, "spec": {"prefixes": [prefix]},
    }  # fmt: skip
    await api.create(POOLS, "", body, msgspec.Raw)


async def fill(api: ApiServer, numbers: Iterable[int], *ends: tuple[str, str]) -> None:
    """Make Services ``crowd-N`` with policy Cluster, each with these endpoints; without any it has no slice."""

    async def one(number: int) -> None:
        name = f"crowd-{number}"
        if ends:
            await make(api, SLICES, endpoints(name, *ends))
        await make(api, SERVICES, service(name))

    await each(one, list(numbers))


async def make(api: ApiServer, resource: Resource, body: dict[str, Any]) -> None:
    """Make an object, however long a server under load takes."""
    await api.call(Request("POST", resource.path(NAMESPACE), body=encoded(body)), f"create {resource}", _DEADLINE)


async def change(api: ApiServer, target: Target, body: dict[str, Any]) -> None:
    """Change an object by a merge patch, however long a server under load takes."""
    kind = "application/merge-patch+json"
    await api.call(Request("PATCH", target.path, {}, encoded(body), kind), f"change {target}", _DEADLINE)


async def _delete(api: ApiServer, target: Target) -> None:
    await api.call(Request("DELETE", target.path), f"delete {target}", _DEADLINE)


async def each(work: Callable[[Any], Awaitable[None]], items: Sequence[Any]) -> None:
    """Do some work for each, a dozen at once."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


async def addressed(api: ApiServer, count: int) -> float:
    """Wait until so many Services have an address; return the moment."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = await api.list(SERVICES, Status, Selection(namespace=NAMESPACE))
        at, have = time.monotonic(), sum(bool(one.addresses) for one in found)
        if have >= count:
            return at
        if at > deadline:
            raise TimeoutError(f"{have} of {count} Services have an address after {_PATIENCE:g} s")
        # a listing of thousands costs the server more than a change does
        await asyncio.sleep(0.05 if count < 500 else 1)


async def remove(api: ApiServer, names: Sequence[str]) -> None:
    """Delete Services and their slices, and wait until the Services are gone."""

    async def one(name: str) -> None:
        at = ObjectName(NAMESPACE, name)
        await _delete(api, SERVICES.at(at))
        await _delete(api, SLICES.at(at))
        # its address is released first: that is what the finalizer waits for
        request = Request("GET", SERVICES.at(at).path)
        while await api.call(request, f"get {at}", _DEADLINE) is not None:  # noqa: ASYNC110  nobody tells us
            await asyncio.sleep(0.02)

    await each(one, names)
