# SPDX-License-Identifier: Apache-2.0
"""A cluster of Services as one agent hears of it: objects as JSON, translated, counted; and kube-proxy's tables.

Promises that what is counted and timed is what an agent does from a line of a watch to a status written. The
tricky thing: kube-proxy is played by nft alone, in tables laid out as its own, so that the agent's mirror is real.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from bench.crowd import NODE
from buoy.kubernetes import own
from buoy.kubernetes.resources import NODES, SERVICES, SLICES, kind_at, object_name
from buoy.kubernetes.structs import STRUCTS
from buoy.kubernetes.translate import Translation
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.store.api_names import ObjectName, Resource
from buoy.store.memory import MemoryStore
from buoy.store.store import Leases, Stored, Write

OTHER = "compute-2"
_ORDER = tuple(STRUCTS)
_AGE = 100_000
"""Versions begin there, so that those of a large and of a small cluster have as many digits."""
_TABLE = """
table ip kube-proxy {{
    map no-endpoint-services {{ type ipv4_addr . inet_proto . inet_service : verdict; {refused} }}
    map service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; {forwarded} }}
    chain external-WEB {{ }}
}}
"""


class Said(NamedTuple):
    """An object as a watch tells it; without `raw` it is gone."""

    resource: Resource
    name: ObjectName
    raw: bytes | None


class Cluster:
    """An API server in memory, for one agent; in the place of `node.Counting`.

    `age` is the version it begins at: one that is lower than before would be taken for a backup.
    """

    def __init__(self, said: Iterable[Said], age: int = _AGE) -> None:
        self.leases: Leases = MemoryStore().leases
        self.writes = 0
        self.bytes = 0
        self._first = list(said)
        self._news: asyncio.Queue[Said] = asyncio.Queue()
        self._revision = age
        self._documents: dict[str, Stored] = {}

    async def read(self, path: str) -> Stored:
        """See `Store.read`."""
        return self._documents.get(path, Stored(None, 0))

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """See `Store.write`; each write is a request of its own."""
        del lease
        for each in writes:
            self._revision += 1
            raw = None
            if each.document is not None:
                raw = msgspec.json.encode(self._versioned(own.encode(each.path, each.document)))
            self.writes += 1
            self.bytes += len(each.path) + len(raw or b"")
            self._documents[each.path] = Stored(each.document, self._revision)
            self._news.put_nowait(Said(kind_at(each.path).resource, object_name(each.path), raw))
        return self._revision

    async def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        translation = Translation(covers=lambda path: path.startswith(tuple(prefixes)))
        for said in sorted(self._first, key=lambda each: _ORDER.index(each.resource)):
            _take(translation, said)
        yield self._batch(translation, None)
        while True:
            changed = _take(translation, await self._news.get())
            if changed:
                yield self._batch(translation, changed)

    async def close(self) -> None:
        """See `Store.close`."""

    async def say(self, *said: Said) -> None:
        """Tell of objects as others change them."""
        for each in said:
            self._revision += 1
            self._news.put_nowait(each)

    def _versioned(self, body: dict[str, Any]) -> dict[str, Any]:
        body["metadata"]["resourceVersion"] = str(self._revision)
        return body

    def _batch(self, held: Translation, changed: frozenset[str] | None) -> Batch:
        snapshot = Snapshot(Identity("kubernetes:bench", self._revision), held.documents, held.revisions, held.broken)
        return Batch(snapshot, changed, listed=changed is None)


def _take(translation: Translation, said: Said) -> frozenset[str]:
    found = None if said.raw is None else msgspec.json.decode(said.raw, type=STRUCTS[said.resource])
    return frozenset(translation.take(said.resource, {said.name: found}))


def address(number: int) -> Address:
    """Return the address of the Service with a number."""
    return Address(f"198.18.{number >> 8}.{number & 255}")


def service(number: int, policy: str = "Cluster") -> Said:
    """Return a Service that has its address."""
    name = f"web-{number:05}"
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{number:05}", "resourceVersion": str(_AGE)},
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": policy,
            "clusterIP": f"10.96.{number >> 8}.{number & 255}", "clusterIPs": [f"10.96.{number >> 8}.{number & 255}"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": address(number), "ipMode": "VIP"}]}},
    }  # fmt: skip
    return _said(SERVICES, body)


def no_service(number: int) -> Said:
    """Return that a Service is gone."""
    return Said(SERVICES, ObjectName("default", f"web-{number:05}"), None)


def endpoints(number: int, *, ready: bool = True) -> Said:
    """Return its slice: an endpoint on the node, ready or not, and a ready one on another."""
    name = f"web-{number:05}"
    ends = [
        {"addresses": ["10.244.1.9"], "nodeName": node, "conditions": {"ready": is_ready, "serving": is_ready}}
        for node, is_ready in ((NODE, ready), (OTHER, True))
    ]
    labels = {"kubernetes.io/service-name": name}
    metadata = {"name": f"{name}-a", "namespace": "default", "labels": labels, "resourceVersion": str(_AGE)}
    return _said(SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": ends})


def objects(count: int) -> Iterator[Said]:
    """Yield a cluster of two nodes and so many Services with policy Cluster."""
    for node in (NODE, OTHER):
        yield _said(NODES, {"metadata": {"name": node, "uid": node, "resourceVersion": str(_AGE)}})
    pool = Pool(name="bench", prefixes=(Prefix("198.18.0.0/15"),))
    path = documents.path(pool)
    body = own.encode(path, pool)
    body["metadata"]["resourceVersion"] = str(_AGE)
    yield Said(kind_at(path).resource, object_name(path), msgspec.json.encode(body))
    for number in range(count):
        yield service(number)
        yield endpoints(number)


def forward(*numbers: int) -> str:
    """Return what nft is told so that kube-proxy forwards some Services."""
    return f"add element ip kube-proxy service-ips {{ {', '.join(map(_element, numbers))} }}"


def forward_no_more(number: int) -> str:
    """Return what nft is told so that kube-proxy forwards a Service no more."""
    return f"delete element ip kube-proxy service-ips {{ {address(number)} . tcp . 80 }}"


def tables(numbers: Iterable[int]) -> str:
    """Return kube-proxy's tables when it forwards some Services."""
    elements = ", ".join(map(_element, numbers))
    return _TABLE.format(refused="", forwarded=f"elements = {{ {elements} }}" if elements else "")


def nft(text: str) -> None:
    """Do this in one transaction, in the namespace we are in."""
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def _element(number: int) -> str:
    return f"{address(number)} . tcp . 80 : goto external-WEB"


def _said(resource: Resource, body: dict[str, Any]) -> Said:
    metadata = body["metadata"]
    return Said(resource, ObjectName(metadata.get("namespace", ""), metadata["name"]), msgspec.json.encode(body))
