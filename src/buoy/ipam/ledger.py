# SPDX-License-Identifier: Apache-2.0
"""Who has which address: read from the claims, never stored, and so never wrong for longer than they are.

Promises that every answer depends on the pools, the claims and `now` alone, not on
the order they came in, and that the next free address is found by bisection. The
tricky thing is what takes an address: whatever stands under it and is not released,
also if it names no owner, as a floating IP of OpenStack does.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from buoy.ipam.blocked import Blocked, has
from buoy.ipam.blocks import Blocks, address, blocks, number
from buoy.ipam.holdings import Holdings
from buoy.model.address import Address, family
from buoy.model.pool import HOLD_DOWN, Pool, Registry
from buoy.model.service_ip import ServiceIP

_BEYOND = 2**128
"""More than any address: a pool is full."""


class Use(NamedTuple):
    """How a pool is used in one family.

    `free` is its runway: how many addresses it can still give; `until` is when the next that is held down is free.
    """

    size: int
    live: int
    held: int
    free: int
    until: dt.datetime | None


class Ledger:
    """Pools and claims; tell it what changes, ask it for addresses."""

    def __init__(self, pools: Iterable[Pool] = (), claims: Iterable[ServiceIP] = ()) -> None:
        self.holdings = Holdings()
        self._pools: dict[str, Pool] = {}
        self._blocks: dict[tuple[str, int], Blocks] = {}
        self._aside: dict[str, tuple[Address, ...]] = {}
        self._blocked = Blocked()
        # Below it nothing of a pool is free.
        self._start: dict[tuple[str, int], int] = {}
        for pool in pools:
            self.put_pool(pool)
        for claim in claims:
            self.put(claim)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by name."""
        return self._pools

    def claim(self, at: Address) -> ServiceIP | None:
        """Return what stands under an address."""
        return self.holdings.claims.get(at)

    def put(self, claim: ServiceIP) -> None:
        """Take in a claim as it now is."""
        self.holdings.put(claim)
        self._blocked.block(claim.address, self.until(claim))

    def remove(self, at: Address) -> None:
        """Forget the claim of an address, if there is one."""
        self.holdings.remove(at)
        self._blocked.free(at)

    def put_pool(self, pool: Pool) -> None:
        """Take in a pool as it now is."""
        if self._pools.get(pool.name) != pool:
            self._forget(pool.name)
            self._pools[pool.name] = pool
            self._look_at_holds(pool.name)

    def remove_pool(self, name: str) -> None:
        """Forget a pool; the claims on its addresses stay."""
        if name in self._pools:
            self._forget(name)
            self._look_at_holds(name)

    def put_aside(self, pool: str, addresses: Iterable[Address]) -> None:
        """Say which addresses of a pool another registry has put aside for us: we give those and no others."""
        self._aside[pool] = tuple(sorted(addresses, key=number))

    def blocks(self, pool: Pool, of_family: int) -> Blocks:
        """Return the addresses of a family that a pool gives."""
        found = self._blocks.get((pool.name, of_family))
        if found is None:
            found = self._blocks[pool.name, of_family] = blocks(pool, of_family)
        return found

    def pools_with(self, at: Address) -> tuple[Pool, ...]:
        """Return the pools that give an address, by priority and name; one at most, unless pools overlap."""
        of_number, of_family = number(at), family(at)
        found = (pool for pool in self._pools.values() if of_number in self.blocks(pool, of_family))
        return tuple(sorted(found, key=rank))

    def may_give(self, pool: Pool, at: Address) -> bool:
        """Tell whether the registry of a pool lets us give an address."""
        return pool.registry is Registry.STORE or at in self._aside.get(pool.name, ())

    def until(self, claim: ServiceIP) -> dt.datetime | None:
        """Return when the hold-down of a released claim ends; None: somebody has the address."""
        if claim.released is None or claim.backings:
            # What a Service still shows is still reached, whatever its claim says.
            return None
        if claim.id and not claim.owners:
            # Put aside for us in another registry: nobody has had it.
            return claim.released
        pool = self._pools.get(claim.pool)
        return claim.released + dt.timedelta(seconds=pool.hold_down if pool else HOLD_DOWN)

    def lowest(self, pool: Pool, of_family: int, now: dt.datetime, but: Collection[Address] = ()) -> Address | None:
        """Return the lowest free address of a pool that is not among `but`, None if there is none."""
        if pool.registry is not Registry.STORE:
            return next((at for at in self._free_aside(pool, of_family, now) if at not in but), None)
        taken, given = self._blocked.taken(of_family, now), self.blocks(pool, of_family)
        freed = self._blocked.freed(of_family)
        if freed is not None:
            self._start = {key: at if key[1] != of_family else min(at, freed) for key, at in self._start.items()}
        found = given.lowest(taken, self._start.get((pool.name, of_family), 0))
        self._start[pool.name, of_family] = _BEYOND if found is None else found
        while found is not None and address(found, of_family) in but:
            found = given.lowest(taken, found + 1)
        return None if found is None else address(found, of_family)

    def use(self, pool: Pool, of_family: int, now: dt.datetime) -> Use:
        """Return how a pool is used."""
        given = self.blocks(pool, of_family)
        taken = given.count(self._blocked.taken(of_family, now))
        held = [at for at in given.within(self._blocked.held(of_family, now)) if at in given]
        endings = (self.until(self.holdings.claims[address(at, of_family)]) for at in held)
        free = given.size - taken
        if pool.registry is not Registry.STORE:
            free = len(self._free_aside(pool, of_family, now))
        until = min((ending for ending in endings if ending is not None), default=None)
        return Use(given.size, taken - len(held), len(held), free, until)

    def _free_aside(self, pool: Pool, of_family: int, now: dt.datetime) -> list[Address]:
        taken, given = self._blocked.taken(of_family, now), self.blocks(pool, of_family)
        aside = (at for at in self._aside.get(pool.name, ()) if family(at) == of_family and number(at) in given)
        return [at for at in aside if not has(taken, number(at))]

    def _forget(self, name: str) -> None:
        self._pools.pop(name, None)
        for of_family in (4, 6):
            self._blocks.pop((name, of_family), None)
            self._start.pop((name, of_family), None)

    def _look_at_holds(self, pool: str) -> None:
        """A pool says how long what is released of it is held down."""
        for claim in self.holdings.claims.values():
            if claim.released is not None and claim.pool == pool:
                self._blocked.block(claim.address, self.until(claim))


def put_aside(claims: Iterable[ServiceIP]) -> Mapping[str, set[Address]]:
    """Return what another registry has put aside for us, by pool: what has its id there and nobody here."""
    found: dict[str, set[Address]] = {}
    for claim in claims:
        if claim.id and claim.released is not None:
            found.setdefault(claim.pool, set()).add(claim.address)
    return found


def rank(pool: Pool) -> tuple[int, str]:
    """Return the place of a pool among others: the highest priority first, then by name."""
    return (-pool.priority, pool.name)
