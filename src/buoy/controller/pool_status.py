# SPDX-License-Identifier: Apache-2.0
"""What a pool's status says: how much of it is used and left, who waits, what is wrong with it.

Promises that it is said a second after it changed, however much changed, and written
only if it differs from what stands there, whoever wrote that. The tricky thing is a
number: an IPv6 pool has more addresses than a number in the API may have.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from buoy.controller.metrics import Metrics
from buoy.controller.observe import POOLS
from buoy.controller.world import World
from buoy.controller.writes import Api
from buoy.ipam.ledger import Use
from buoy.ipam.life import outside
from buoy.model.errors import BuoyError
from buoy.model.pool import Pool
from buoy.model.writer import Moment
from buoy.store.api_names import ObjectName

PAUSE = 1.0
"""Seconds between two writes of statuses."""
DRAINING = "gives no new addresses: draining"
FULL = "full"
"""What a pool's message says of itself where nothing is wrong with it."""
_SHOWN = 4
_MOST = 2**53
"""What a number in JSON can tell apart from its neighbours."""


class _Written(msgspec.Struct, frozen=True):
    status: dict[str, Any] = {}


class PoolReports:
    """The statuses of pools on their way to the API server."""

    def __init__(self, world: World, api: Api, metrics: Metrics, clock: Callable[[], Moment]) -> None:
        self._world = world
        self._api = api
        self._metrics = metrics
        self._clock = clock
        self._said: dict[str, dict[str, Any]] = {}
        """What stands in each status, as far as we know."""

    async def run(self) -> None:
        """Write until cancelled; what stands in each status is read anew, for another may have led meanwhile."""
        known: dict[str, Pool] = {}
        self._said.clear()
        try:
            while True:
                if known != self._world.pools.written:
                    # what overlaps one pool is written in another
                    known = dict(self._world.pools.written)
                    self._world.stir(known)
                for name in self._world.stirred():
                    await self._report(name)
                await asyncio.sleep(PAUSE)
        finally:
            # figures of who leads no more would stand beside those of who does
            self._metrics.pool_addresses.clear()

    async def _report(self, name: str) -> None:
        pool = self._world.books.ledger.pools.get(name)
        if pool is None or name in self._world.pools.renewed:
            self._world.pools.renewed.discard(name)
            self._said.pop(name, None)
        uses = self._uses(pool) if pool is not None else {}
        self._count(name, uses)
        if pool is None:
            return
        status = {"addresses": said(pool)} | pool_status(uses, self._world.waiting.of_pool(name), self._message(pool))
        if self._said.get(name) == status:
            return
        at = POOLS.at(ObjectName("", name), "status")
        try:
            if name not in self._said:
                written = await self._api.get(at, _Written)
                self._said[name] = written.status if written else {}
            if self._said[name] != status:
                # a pool of MetalLB's has no status of ours, and is not found here
                await self._api.patch(at, {"status": status}, _Written)
                self._said[name] = status
        except BuoyError as error:
            self._said.pop(name, None)
            self._world.stir([name])
            self._metrics.log.warning("a pool's status waits", pool=name, error=str(error))

    def _uses(self, pool: Pool) -> dict[int, Use]:
        ledger, now = self._world.books.ledger, self._clock()
        uses = {of_family: ledger.use(pool, of_family, now) for of_family in (4, 6)}
        return {of_family: use for of_family, use in uses.items() if use.size}

    def _count(self, name: str, uses: dict[int, Use]) -> None:
        gauge = self._metrics.pool_addresses
        for of_family in (4, 6):
            use = uses.get(of_family)
            for state in ("live", "held", "free"):
                if use is None:
                    gauge.remove(name, f"IPv{of_family}", state)
                else:
                    gauge.labels(name, f"IPv{of_family}", state).set(getattr(use, state))

    def _message(self, pool: Pool) -> str:
        remarks = list(self._world.pools.remarks(pool.name))
        left = outside(self._world.books.ledger, pool)
        if left:
            remarks.append(f"{len(left)} of its addresses in use lie outside it, and are kept: {', '.join(_few(left))}")
        if pool.draining:
            remarks.append(DRAINING)
        return "; ".join(remarks)


def said(pool: Pool) -> str:
    """Return the addresses of a pool in few words: a column of kubectl would show a list as JSON."""
    return ",".join(_few([*pool.prefixes, *(f"{each.first}-{each.last}" for each in pool.ranges)]))


def _few(items: Sequence[str]) -> list[str]:
    return [*items[:_SHOWN], *([f"+{len(items) - _SHOWN}"] if len(items) > _SHOWN else [])]


def pool_status(uses: dict[int, Use], waiting: int, message: str) -> dict[str, Any]:
    """Return the status of a pool; `waiting` is how many objects lack an address they may get of it."""
    told = message or (FULL if uses and not any(use.free for use in uses.values()) else "")
    return {
        "used": sum(use.live for use in uses.values()),
        "held": sum(use.held for use in uses.values()),
        "free": min(sum(use.free for use in uses.values()), _MOST),
        "waiting": waiting,
        "message": told,
        "families": [
            {"family": f"IPv{of_family}", "size": min(use.size, _MOST), "free": min(use.free, _MOST)}
            | {"used": use.live, "held": use.held}
            for of_family, use in sorted(uses.items())
        ],
    }
