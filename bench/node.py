# SPDX-License-Identifier: Apache-2.0
"""One agent with a crowd of service IPs, on the real kernel of the namespace it is made in.

Promises that what is counted and timed is the agent's own code from the store's batch
to the status written: only BIRD is played, by a speaker that has told everybody
everything. The tricky thing is to know when a change is over without a clock: the
store is in memory and answers at once, so a few turns of the event loop are enough.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import crowd
from bench.kubernetes_node import Cluster
from buoy.agent.announcements import Announcements
from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.agent.node import Agent, Parts
from buoy.agent.reports import Reports
from buoy.agent.speaking import BirdConfiguration
from buoy.dataplane.dhcp import DhcpDriver
from buoy.dataplane.host import LinuxHost
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.node import PeerSession
from buoy.model.proxied import ProxyMode
from buoy.model.reason import Withhold
from buoy.model.snapshot import Batch
from buoy.planner.desired import Desired
from buoy.planner.dhcp import guest_config
from buoy.planner.peering_sessions import LocalNode
from buoy.planner.wishes import Here
from buoy.runtime.telemetry import Telemetry
from buoy.store.memory import MemoryStore
from buoy.store.store import Leases, Stored, Write

NODE = crowd.NODE
_TURNS = 30
_AGE = 2000
"""Revisions a store has behind it, so that those of a large and of a small node have as many digits."""


class Work(NamedTuple):
    """What one change cost: counts, and the CPU seconds of the agent's thread.

    `calls` are calls of Python functions, 0 where they were not counted: counting takes most of the time.
    """

    subjects: int
    writes: int
    bytes: int
    messages: int
    calls: int
    cpu: float


class Counting:
    """A store in memory that counts what is written through it.

    `age` is the revision it begins at: one that is lower than before would be taken for a backup.
    """

    def __init__(self, held: Collection[Document], age: int = _AGE) -> None:
        self._store = MemoryStore()
        self._store.put_raw({documents.path(each): documents.encode(each) for each in held})
        for _ in range(age):
            self._store.put_raw({"nodes/elsewhere": b"{}"})
        self.leases: Leases = self._store.leases
        self.writes = 0
        self.bytes = 0

    async def read(self, path: str) -> Stored:
        """See `Store.read`."""
        return await self._store.read(path)

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """See `Store.write`."""
        for each in writes:
            self.writes += 1
            self.bytes += len(each.path) + (len(documents.encode(each.document)) if each.document else 0)
        return await self._store.write(writes, lease)

    def watch(self, prefixes: Sequence[str]) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        return self._store.watch(prefixes)

    async def close(self) -> None:
        """See `Store.close`."""

    async def say(self, *said: Document) -> None:
        """Write documents as others do: uncounted."""
        await self._store.write([Write(documents.path(each), each) for each in said])


class Told:
    """A speaker all of whose peers know everything."""

    inside: frozenset[str] = frozenset()

    def sessions(self) -> tuple[PeerSession, ...]:
        """See `Speaker.sessions`."""
        return (
            PeerSession(
                name="peer_router", address=Address("192.0.2.254"), asn=64511, state="Established", exported=1 << 30
            ),
        )

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        """See `Speaker.exported`."""
        return dict.fromkeys(prefixes)

    def text(self) -> str:
        """See `BirdSpeaker.text`."""
        return ""

    def configure(self, text: str) -> None:
        """See `Speaker.configure`."""


class CrowdedNode:
    """An agent, its store and its host; `directory` is where its files are.

    Without a `store` of its own it has one with `count` floating IPs; its host looks at kube-proxy if it is told to.
    """

    def __init__(
        self,
        count: int,
        directory: Path,
        store: Counting | Cluster | None = None,
        service_proxy: ProxyMode = ProxyMode.NONE,
    ) -> None:
        self.store: Counting | Cluster = store or Counting(list(crowd.documents(count, NODE)))
        self._began = time.perf_counter(), time.process_time()
        self.host = LinuxHost(DhcpDriver(directory / "dhcp"), service_proxy=service_proxy)
        self.speaker = Told()
        local = LocalNode(name=NODE, addresses=(Address("192.0.2.1"),))
        bird = BirdConfiguration(self.speaker, local)  # type: ignore[arg-type]  # of a BirdSpeaker it uses just these
        caution = Caution(Kept(str(directory / "store.json")))
        parts = Parts(self.host, Announcements(self.speaker, NODE, lambda: 0.0), bird, caution)
        self.agent = Agent(Desired(Here(NODE, guest_config)), parts, Reports(self.store), Telemetry())
        self.agent.audit.interval = 3600.0
        self._batches: asyncio.Queue[Batch] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> tuple[float, float]:
        """Listen to the store and run the first pass.

        Returns seconds and CPU seconds from opening the host, over the listing, until everything was
        verified; writing the statuses comes after that.
        """
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self.agent.reports.run())]
        self.agent.take(await self._batches.get())
        self.agent.run_pass()
        took = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        await self._settle()
        return took

    async def change(self, *said: Any, count_calls: bool = False) -> Work:  # noqa: ANN401  documents, or objects of a cluster
        """Say documents and let the agent work until it has said what there is to say.

        Without anything to say the agent looks at what its host tells.
        """
        await self.store.say(*said)
        calls = itertools.count()
        before = self._counts()
        if count_calls:
            sys.setprofile(lambda _frame, event, _argument: next(calls) if event == "call" else None)
        began = time.thread_time()
        if not said:
            self.agent.run_pass()
        await self._settle()
        took = time.thread_time() - began
        if count_calls:
            sys.setprofile(None)
        subjects, writes, size, messages = (now - then for now, then in zip(self._counts(), before, strict=True))
        return Work(subjects, writes, size, messages, next(calls), took)

    async def stop(self) -> None:
        """End the tasks; the host keeps everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.host.close()

    def status(self, address: Address) -> Document | None:
        """Return what the agent has last said of an address."""
        return self.agent.reports.known(f"status/{NODE}/address/{address}")

    def _counts(self) -> tuple[int, int, int, int]:
        return self.agent.desired.computed, self.store.writes, self.store.bytes, self.host.messages

    async def _listen(self) -> None:
        async for batch in self.store.watch(
            (
                f"workloads/{NODE}/", "status/", "service-ips/", "groups/", "members/", "subnets/", "networks/",
                "pools/", "settings/", "eligibility/",
            )
        ):  # fmt: skip
            await self._batches.put(batch)

    async def _settle(self) -> None:
        """Run passes as the loop does, until a few turns bring nothing new."""
        quiet = 0
        while quiet < _TURNS:
            await asyncio.sleep(0)
            quiet += 1
            while not self._batches.empty():
                quiet = 0
                self.agent.take(self._batches.get_nowait())
                self.agent.run_pass()
