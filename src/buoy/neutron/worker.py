"""The thread of an API process that owns the store: drains, compares, shows statuses and agents.

Promises: one thread, one event loop, one connection to the store; whatever
fails is logged and tried again, and no API call ever waits for it. Database
work runs beside the loop, for it blocks.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from oslo_log import log

from buoy.model.errors import StoreUnavailable
from buoy.model.node import Node
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Batch, Snapshot
from buoy.model.status import State
from buoy.neutron import compare, status, table, verdict
from buoy.neutron.drainer import Drainer
from buoy.neutron.options import store_settings
from buoy.neutron.reader import Reader
from buoy.store.opening import open_store
from buoy.store.store import Store

LOG = log.getLogger(__name__)

POLL = 1.0
"""Seconds after which rows left by another process are looked for."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0
_SECOND_LOOK = 0.5


_BEHIND = (
    "outbox: %d changes wait for the store, the oldest for %.0f s; "
    "they take effect once etcd answers at %s: etcdctl endpoint health, and the lines above"
)


class Worker:
    """Started once per API process; `wake` may be called from any thread, also before."""

    def __init__(self, conf: Any) -> None:
        self._conf = conf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._away = False
        self._nodes: dict[str, Node] = {}
        self._snapshot: Snapshot | None = None
        self._unchanged: dict[str, int] = {}
        self._showing = asyncio.Lock()

    def start(self) -> None:
        """Start the thread; it ends with the process, which may be killed at any moment."""
        threading.Thread(target=lambda: asyncio.run(self._main()), name="buoy", daemon=True).start()

    def wake(self) -> None:
        """Say that rows were committed."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        store = open_store(store_settings(self._conf), self._heard)
        reader = Reader(self._conf.buoy.network_types)
        drainer = Drainer(store, table, reader.read, self._unchanged.update)
        await asyncio.gather(
            _forever("drainer", lambda: self._drain(drainer)),
            _forever("comparison", lambda: self._compare(store, reader)),
            _forever("status", lambda: self._show(store)),
            _forever("heartbeat", self._beat),
            _forever("outbox watch", self._watch_outbox),
        )

    def _heard(self, error: StoreUnavailable | None) -> None:
        """Tell the log once per outage; meanwhile nobody is said to be alive."""
        if error is not None and not self._away:
            LOG.warning("store: %s", error)
        self._away = error is not None

    async def _drain(self, drainer: Drainer) -> None:
        while True:
            self._woken.clear()
            await drainer.drain()
            await self._show_unchanged()
            try:
                await asyncio.wait_for(self._woken.wait(), POLL)
            except TimeoutError:
                continue

    async def _compare(self, store: Store, reader: Reader) -> None:
        while True:
            difference = await look(store, reader)
            LOG.log(_level(difference), "comparison: %s", difference)
            if difference.suspicious:
                LOG.error("orphans are kept; look, then: python -m buoy.neutron.compare_now --config-file … --confirm")
            await asyncio.to_thread(table.mark, difference.repairs)
            self._woken.set()
            await asyncio.sleep(self._conf.buoy.compare_interval)

    async def _show(self, store: Store) -> None:
        async for batch in store.watch(verdict.PREFIXES):
            self._snapshot = batch.snapshot
            await self._show_batch(batch)

    async def _show_unchanged(self) -> None:
        """Show again what Neutron touched and the store had all along: it may have set a status, and no event follows.

        Where our view is of another revision, the event is still on its way.
        """
        if self._snapshot is not None:
            revisions = self._snapshot.revisions
            same = frozenset(path for path, revision in self._unchanged.items() if revisions.get(path) == revision)
            await self._show_batch(Batch(self._snapshot, same))
        self._unchanged.clear()

    async def _show_batch(self, batch: Batch) -> None:
        async with self._showing:
            snapshot, seen = batch.snapshot, verdict.touched(batch, self._nodes)
            claims = [snapshot.documents.get(f"service-ips/{address}") for address in seen.addresses]
            floating = [(c, verdict.address_state(snapshot, c)) for c in claims if isinstance(c, ServiceIP) and c.id]
            ports = {(n, w): state for n, w in seen.workloads if (state := verdict.workload_state(snapshot, n, w))}
            await self._show_nodes(verdict.nodes(batch, self._nodes))
            if ports or floating:
                await asyncio.to_thread(_write, ports, floating)

    async def _show_nodes(self, nodes: Mapping[str, Node | None]) -> None:
        """Show who came and went; what the database refuses is not noted, and so done again."""
        for name, node in nodes.items():
            if node is not None:
                if name not in self._nodes:
                    await asyncio.to_thread(status.write_agent, node)
                self._nodes[name] = node
            elif name in self._nodes:
                await asyncio.to_thread(status.bury_agent, name)
                del self._nodes[name]

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._conf.buoy.heartbeat_interval)
            for name in [] if self._away else list(self._nodes):
                async with self._showing:
                    # one buried meanwhile must not be raised again
                    if name in self._nodes:
                        await asyncio.to_thread(status.write_agent, self._nodes[name])

    async def _watch_outbox(self) -> None:
        late, patience = False, self._conf.buoy.outbox_patience
        while True:
            await asyncio.sleep(patience)
            waiting = await asyncio.to_thread(table.waiting)
            if waiting.seconds > patience:
                where = ", ".join(self._conf.buoy.endpoints)
                LOG.warning(_BEHIND, waiting.rows, waiting.seconds, where)
            elif late:
                LOG.info("outbox: the store has all changes again")
            late = waiting.seconds > patience


def _write(ports: dict[tuple[str, str], State], floating: list[tuple[ServiceIP, State]]) -> None:
    status.write_ports(ports)
    status.write_floating_ips(floating)


async def look(store: Store, reader: Reader) -> compare.Difference:
    """Compare twice, for what was merely on its way at the first look is right at the second."""
    first = await _look_once(store, reader)
    if not first.missing | first.stale | first.orphan:
        return first
    await asyncio.sleep(_SECOND_LOOK)
    second = await _look_once(store, reader)
    return compare.Difference(
        first.missing & second.missing, first.stale & second.stale, first.orphan & second.orphan, second.stored
    )


async def _look_once(store: Store, reader: Reader) -> compare.Difference:
    watch = store.watch(compare.PREFIXES)
    try:
        batch = await anext(watch)
        wanted = await asyncio.to_thread(reader.read_all)
        return compare.compare(batch.snapshot, wanted)
    finally:
        close = getattr(watch, "aclose", None)
        if close is not None:
            await close()


def _level(difference: compare.Difference) -> int:
    different = difference.missing | difference.stale | difference.orphan
    return int(log.WARNING if different else log.INFO)


async def _forever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run work again whenever it fails, after a growing pause; the failure is told, never swallowed."""
    pause = _FIRST_PAUSE
    while True:
        task = asyncio.ensure_future(work())
        started = asyncio.get_running_loop().time()
        await asyncio.wait({task})
        error = task.exception()
        if isinstance(error, StoreUnavailable):
            LOG.warning("%s waits: %s", name, error)
        else:
            LOG.error("%s failed", name, exc_info=error)
        if asyncio.get_running_loop().time() - started > _LONGEST_PAUSE:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
