# SPDX-License-Identifier: Apache-2.0
"""The agent as a process: its parts put together, woken, and kept running.

SIGTERM and SIGINT end it and change nothing on the host: what is programmed stays,
and the next start finds it.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from buoy import __version__
from buoy.agent.announcements import Announcements
from buoy.agent.answers import Answers
from buoy.agent.caution import Caution
from buoy.agent.dhcp import unanswered
from buoy.agent.diagnosis import closed
from buoy.agent.host import open_host
from buoy.agent.inspect import listen
from buoy.agent.kept import Draining, Kept
from buoy.agent.node import Agent, Parts
from buoy.agent.passwords import reader
from buoy.agent.reports import Reports
from buoy.agent.sole import sole_agent
from buoy.agent.speaking import BirdConfiguration
from buoy.agent.witness import Witnessing
from buoy.dataplane import proxy_health
from buoy.dataplane.bird import BirdSpeaker
from buoy.dataplane.host import LinuxHost
from buoy.kubernetes.opening import open_any
from buoy.model import documents
from buoy.model.errors import BuoyError, InvalidInput
from buoy.model.node import Node
from buoy.model.nodestate import Class
from buoy.model.reason import Reason
from buoy.model.snapshot import Batch
from buoy.planner.desired import Desired
from buoy.planner.dhcp import guest_config
from buoy.planner.peering_sessions import LocalNode
from buoy.planner.wishes import Here
from buoy.runtime.ending import first, signals
from buoy.runtime.health import Pulse, serve
from buoy.runtime.loop import Loop
from buoy.runtime.outages import Outages, Words
from buoy.runtime.settings import Settings
from buoy.runtime.telemetry import AddressStates, Telemetry
from buoy.store.lease import Lease
from buoy.store.store import Reporter, Store, Write

_SHARED = (
    "service-ips/",
    "groups/",
    "members/",
    "subnets/",
    "networks/",
    "pools/",
    "peers/",
    "filters/",
    "settings/",
    "nodes/",
    "fences/",
    "eligibility/",
    "status/",
)

_AWAY = Words("store", "nothing that this node holds is taken away; what changes waits")

_COLLECT_AT_START = 200_000
"""Objects between two collections until the first pass is over."""


async def run_agent(settings: Settings) -> None:
    """Run until a signal.

    Raises `InvalidInput` for settings no agent can run with, `Conflict` where another runs, `DataplaneError` without
    rights.
    """
    if not settings.addresses:
        raise InvalidInput(
            "addresses", "", "name this node's own address in the settings, such as addresses = ['192.0.2.3']"
        )
    with sole_agent():
        await _run_alone(settings)


async def _run_alone(settings: Settings) -> None:
    telemetry, pulse = Telemetry(), Pulse()
    outages = Outages(telemetry.log, telemetry.store_up, _AWAY)
    store = open_any(settings.store, outages, node=settings.node)
    host = open_host(settings)
    agent = build(settings, host, store, telemetry)
    process = Process(settings, agent, (store, outages), pulse)
    stop_serving = serve(settings.health.listen, telemetry.registry, pulse) if settings.health.listen else None
    try:
        await process.run(host)
    finally:
        if stop_serving:
            stop_serving()
        host.close()
        await store.close()


def build(settings: Settings, host: LinuxHost, store: Store, telemetry: Telemetry) -> Agent:
    """Put one agent together."""
    speaker = BirdSpeaker(node=settings.node)
    parts = Parts(
        host,
        Announcements(speaker, settings.node, time.monotonic),
        BirdConfiguration(
            speaker,
            LocalNode(name=settings.node, addresses=settings.addresses),
            password=reader(Path(settings.passwords)),
        ),
        Caution(Kept()),
    )
    preference = Class.DRAIN if Draining() else Class.NORMAL
    reports = Reports(store, lambda error: telemetry.log.warning("statuses wait", error=str(error)))
    agent = Agent(Desired(Here(settings.node, guest_config, preference)), parts, reports, telemetry)
    agent.audit.interval = settings.audit_interval
    telemetry.registry.register(AddressStates(lambda: list(agent.reports.statuses.values())))
    return agent


class Process:
    """The tasks of one agent process."""

    def __init__(self, settings: Settings, agent: Agent, store: tuple[Store, Reporter], pulse: Pulse) -> None:
        self._settings = settings
        self._agent = agent
        self._store, self._away = store
        self._pulse = pulse
        self._loop = Loop(self)
        self._witnessing = Witnessing(self._store, settings.node)
        self._collecting = gc.get_threshold()
        self._lease: Lease | None = None
        self._said: Node | None = None
        self._beaten = 0.0
        self._failure = ""
        """Why passes fail, in words for people; empty: the last one did not."""
        self._started = datetime.now(tz=UTC).isoformat(timespec="seconds")

    def run_pass(self) -> float | None:
        """Run the agent's pass, and note that the loop beats."""
        delay = self._agent.run_pass()
        self._failure = ""
        self._pulse.beat()
        if self._agent.last is not None and not self._pulse.ready:
            self._pulse.ready = True
            self._agent.parts.caution.looked()
            # what the first pass made stays: later collections need not walk it (9 ms at 10,000 service IPs)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*self._collecting)
        return delay

    def failed(self, error: Exception) -> None:
        """Pass a failure on to the agent, and have it told: until a pass succeeds, statuses are what they were.

        Those of a former boot are not: nothing of them is there any more.
        """
        self._agent.failed(error)
        if self._agent.parts.caution.rebooted and self._agent.snapshot is not None:
            self._agent.reports.looked()
            self._agent.parts.caution.looked()
        self._failure = f"what has changed: the agent's passes fail: {str(error) or type(error).__name__}"

    async def run(self, host: LinuxHost) -> None:
        """Run every task until a signal or the first that fails."""
        stopped = asyncio.Event()
        # nearly nothing of what a start makes is garbage: looking for it every 700 objects takes a fifth of the start
        gc.set_threshold(_COLLECT_AT_START)
        with signals(stopped), _readable(host, self._loop.wake):
            server = await listen(Answers(self._agent, Draining(), self._loop.wake).all())
            async with server, Lease(self._store.leases, self._settings.heartbeat_ttl, self._beat, self._away) as lease:
                self._lease = lease
                await first(
                    stopped.wait(),
                    self._loop.run(),
                    self._watch(),
                    self._agent.reports.run(),
                    self._heartbeat(),
                    *self._attending(host),
                    lease.ended(),
                )

    def _attending(self, host: LinuxHost) -> Iterator[Awaitable[None]]:
        if host.proxy_health is not None:
            yield proxy_health.attend(host.proxy_health, self._settings.addresses, self._loop.wake)

    async def _watch(self) -> None:
        node = self._settings.node
        async for batch in self._store.watch((f"workloads/{node}/", *_SHARED)):
            self.hear(batch)

    def hear(self, batch: Batch) -> None:
        """Hear from the store; what it has lost of this node itself is said again with the next heartbeat."""
        own = f"nodes/{self._settings.node}"
        if (batch.changed is None or own in batch.changed) and own not in batch.snapshot.documents:
            self._said = None
        if self._agent.take(batch):
            self._loop.wake()

    async def _heartbeat(self) -> None:
        """Write this node's document again when what it says has changed; mere counts may be a lease old."""
        while True:
            await asyncio.sleep(1)
            self._agent.parts.caution.settle()
            await self._witnessing.renew(self._agent.parts.caution, self._agent.snapshot)
            if self._lease is not None and self._lease.id is not None and self._is_news():
                # an outage, or a right that our account lacks: the watch and the reports tell the log
                with contextlib.suppress(BuoyError):
                    await self._beat(self._lease.id)

    def _is_news(self) -> bool:
        node, said = self._node(), self._said
        if said is None or time.monotonic() - self._beaten >= self._settings.heartbeat_ttl:
            return node != said
        return _uncounted(node) != _uncounted(said)

    async def _beat(self, lease: int) -> None:
        node = self._node()
        await self._store.write([Write(documents.path(node), node)], lease)
        self._said, self._beaten = node, time.monotonic()

    def _node(self) -> Node:
        agent = self._agent
        guests = unanswered() if agent.workloads else ""
        ranges = agent.desired.aggregates_withheld
        # an excluded node announces none as somebody wanted it
        missed = str(ranges) if ranges is not None and ranges.reason is Reason.NO_SERVICE_PROXY else ""
        stuck = agent.parts.host.proxy.stuck()
        waits = f"kube-proxy {stuck}: what is not announced yet for Services waits" if stuck else ""
        unforwarded = (f"IPv4 by {name}: {closed(name)}" for name in agent.parts.host.uplinks.closed())
        problems = (agent.parts.caution.problem, guests, missed, waits, *unforwarded)
        return Node(
            name=self._settings.node,
            addresses=self._settings.addresses,
            version=__version__,
            started=self._started,
            sessions=agent.parts.announcements.sessions,
            workloads=len(agent.workloads),
            service_ips=len(agent.service_ips),
            held=agent.parts.caution.cause,
            draining=agent.desired.here.preference is Class.DRAIN,
            problems=(*map(str, agent.parts.bird.problems), *filter(None, (self._failure, *problems))),
        )


def _uncounted(node: Node) -> Node:
    """Return a node without what changes with every workload: each write makes others look at all of its addresses."""
    sessions = tuple(msgspec.structs.replace(session, exported=0) for session in node.sessions)
    return msgspec.structs.replace(node, sessions=sessions, workloads=0, service_ips=0)


@contextlib.contextmanager
def _readable(host: LinuxHost, wake) -> Iterator[None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    loop = asyncio.get_running_loop()
    for number in host.filenos():
        loop.add_reader(number, wake)
    try:
        yield
    finally:
        for number in host.filenos():
            loop.remove_reader(number)
