# SPDX-License-Identifier: Apache-2.0
"""The thread of an API process that owns the store: drains, compares, shows statuses and agents.

Promises: one thread, one event loop, one connection to the store; whatever
fails is logged and tried again, and no API call ever waits for it. Database
work runs beside the loop, for it blocks.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from oslo_log import log

from buoy.model.errors import StoreUnavailable
from buoy.neutron import compare, table
from buoy.neutron.drainer import Drainer
from buoy.neutron.options import store_settings
from buoy.neutron.pulse import Pulse, Rhythm
from buoy.neutron.reader import Reader
from buoy.neutron.showing import Showing
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
        self._showing = Showing()

    def start(self) -> None:
        """Start the thread; it ends with the process, which may be killed at any moment."""
        threading.Thread(target=lambda: asyncio.run(self._main()), name="buoy", daemon=True).start()

    def wake(self, pause: float = 0.0) -> None:
        """Say that rows were committed, and in how many seconds to take them, those of others with them."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, pause, self._woken.set)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        store = open_store(store_settings(self._conf), self._heard)
        reader = Reader(self._conf.buoy.network_types)
        drainer = Drainer(store, table, reader.read, self._showing.leave)
        rhythm = Rhythm(self._conf.buoy.heartbeat_interval, self._conf.buoy.outbox_patience)
        pulse = Pulse(store, rhythm, table.waiting)
        await asyncio.gather(
            _forever("drainer", lambda: self._drain(drainer)),
            _forever("comparison", lambda: self._compare(store, reader)),
            _forever("status", lambda: self._showing.follow(store)),
            _forever("statuses of the unchanged", self._showing.follow_left),
            _forever("refused statuses", self._showing.retry),
            _forever("heartbeat", lambda: self._beat(pulse)),
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
            await self._showing.show_all()
            await asyncio.sleep(self._conf.buoy.compare_interval)

    async def _beat(self, pulse: Pulse) -> None:
        while True:
            if not self._away:
                await pulse.beat(self._showing.beat)
            await asyncio.sleep(self._conf.buoy.heartbeat_interval)

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
