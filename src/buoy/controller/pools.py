# SPDX-License-Identifier: Apache-2.0
"""Pools as they may be drawn from: without what the cluster itself uses.

Promises that no address of a node, of pods or of the cluster's own Services is given
to anybody, however a pool is written; and that each such overlap, and each between
two pools, is told. The tricky thing: a node that joins may take addresses out of a
pool that gave them already; who has them keeps them, and is told.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from buoy.ipam.blocks import Block, block, extent
from buoy.ipam.overlap import Occupied, overlaps
from buoy.model.address import family
from buoy.model.pool import Pool, Registry


class Pools:
    """Pools by name, and what is occupied by who occupies it."""

    def __init__(self) -> None:
        self.written: dict[str, Pool] = {}
        self.renewed: set[str] = set()
        """Pools whose statuses may not be what was written; to be emptied by who reads it."""
        self.registry_says: Callable[[str], str] = _no_registry
        """What keeps addresses of a pool from being had whose books are kept elsewhere; empty: nothing does."""
        self._occupied: dict[str, tuple[Occupied, ...]] = {}

    def put(self, name: str, pool: Pool | None) -> Mapping[str, Pool | None]:
        """Take in a pool as it is written, None if it is gone; return it as it may be drawn from."""
        if pool is None:
            self.written.pop(name, None)
            return {name: None}
        self.written[name] = pool
        return {name: self._without_occupied(pool)}

    def occupy(self, who: str, what: Iterable[Occupied]) -> Mapping[str, Pool | None]:
        """Take in what somebody occupies; return the pools that may be drawn from otherwise now."""
        now = tuple(what)
        before = self._occupied.pop(who, ())
        if now:
            self._occupied[who] = now
        differs = set(before) ^ set(now)
        met = (pool for pool in self.written.values() if any(_meets(pool, each) for each in differs))
        return {pool.name: self._without_occupied(pool) for pool in met}

    def remarks(self, name: str) -> tuple[str, ...]:
        """Return what a pool overlaps, and what its registry objects."""
        pool = self.written.get(name)
        if pool is None:
            return ()
        met = [each for several in self._occupied.values() for each in several if _meets(pool, each)]
        remarks = tuple(map(str, overlaps(pool, self.written.values(), met)))
        said = self.registry_says(name) if pool.registry is not Registry.STORE else ""
        return (*remarks, said) if said else remarks

    def _without_occupied(self, pool: Pool) -> Pool:
        met = {each.prefix for several in self._occupied.values() for each in several if _meets(pool, each)}
        return msgspec.structs.replace(pool, exclude=(*pool.exclude, *sorted(met - set(pool.exclude))))


def _meets(pool: Pool, each: Occupied) -> bool:
    first, last = block(each.prefix)
    return any(_overlap(item, first, last) for item in extent(pool, family(each.prefix)))


def _overlap(item: Block, first: int, last: int) -> bool:
    return item.first <= last and first <= item.last


def _no_registry(pool: str) -> str:
    return f"Neutron keeps the books of {pool}: tell the controller where it is, --neutron-endpoint"
