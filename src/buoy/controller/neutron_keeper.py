# SPDX-License-Identifier: Apache-2.0
"""The task that keeps Neutron's ports and our claims in step, while this process leads.

Promises that an address is given to an object without asking Neutron, from what was put aside; that what is written
anywhere is written by a leader; that what could not be done is said of the pool; and that a claim on an address which
OpenStack has given away, after somebody deleted its port, says so: agents announce it no more. The tricky thing is an
answer that never came: then what Neutron has is not known any more, and everything is listed anew before anything is
done.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog

from buoy.controller.neutron_orders import (
    Adopt,
    Fetch,
    FetchAt,
    GiveBack,
    LetGo,
    Name,
    Order,
    View,
    missing,
    neutron_pools,
    orders,
)
from buoy.controller.neutron_ports import Naming, Neutron, NeutronAway, NeutronRefused, Port
from buoy.controller.subject import Claim
from buoy.controller.world import World
from buoy.controller.writes import Writes
from buoy.model.address import Address
from buoy.model.errors import BuoyError, Conflict

RELIST = dt.timedelta(seconds=60)
"""How old what we know of Neutron's ports may be."""
REFUSED = dt.timedelta(seconds=10)
"""Until what was refused is tried again."""
LOOK, LONGEST, SETTLE = 2.0, 5.0, 0.02
"""Seconds between two looks when nothing happens, after Neutron was away for long, and for more to come along."""
UNDER_WAY, AT_LEISURE = 12, 3
"""Orders at once for who waits, and of what nobody waits for, lest OpenStack's own users wait for it."""
_GONE, _CHANGED = 404, 412
_TAKEN = frozenset({"IpAddressAlreadyAllocated", "IpAddressInUse"})


class Means(NamedTuple):
    """What the keeper works with.

    `leading` tells whether we lead at this moment, `clock` the time in UTC; `wake` has the work look at what changed.
    """

    neutron: Neutron
    writes: Writes
    log: structlog.stdlib.BoundLogger
    clock: Callable[[], dt.datetime]
    leading: Callable[[], bool]
    wake: Callable[[], None]


class PutOff(NamedTuple):
    """What was refused is not tried again before `until`; `said` is why."""

    until: dt.datetime
    said: str


class Keeper:
    """Ports and claims of one cluster; `spare` addresses of each pool are kept ready."""

    def __init__(self, world: World, means: Means, spare: int) -> None:
        self._world = world
        self._means = means
        self._spare = spare
        self._ports: dict[str, Port] | None = None
        self._listed = means.clock()
        self._missed: set[tuple[Address, str]] = set()
        """Claims, and the ports they name, that the last listing did not have."""
        self._put_off: dict[tuple[str, str], PutOff] = {}
        self._event = asyncio.Event()
        self._away = ""
        world.pools.registry_says = self.says

    def notice(self) -> None:
        """Have a look taken soon."""
        self._event.set()

    async def run(self) -> None:
        """Look until cancelled; what was known before is listed anew."""
        self._ports, pause = None, LOOK
        while True:
            self._event.clear()
            try:
                again = await self.look()
            except BuoyError as error:
                self._means.log.warning("addresses of Neutron wait", error=str(error))
                pause = min(pause * 2, LONGEST) if isinstance(error, NeutronAway) else LOOK
                await asyncio.sleep(pause)
                continue
            pause = LOOK
            if not again:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._event.wait(), LOOK)
            await asyncio.sleep(SETTLE)

    async def look(self) -> bool:
        """Do what is to be done now; tell whether there may be more. Raises what Neutron or the API server raise."""
        cluster = cluster_uid(self._world)
        if not cluster or not self._means.leading():
            return False
        try:
            done = await self._look(cluster)
        except NeutronAway as error:
            # what was asked may have been done
            self._ports = None
            self._say(str(error))
            raise
        self._say("")
        return done

    async def _look(self, cluster: str) -> bool:
        now, fresh = self._means.clock(), False
        if self._ports is None or self._listed + RELIST <= now:
            await self._list(cluster)
            fresh = True
        view = self._view(now)
        if not fresh and not _missed(view) <= self._missed:
            await self._list(cluster)
            view, fresh = self._view(now), True
        if fresh:
            self._missed = _missed(view)
        self._put_off = {key: each for key, each in self._put_off.items() if each.until > now}
        due = [each for each in orders(view) if _key(each) not in self._put_off]
        if not due:
            return False
        urgent = [each for each in due if not isinstance(each, GiveBack | Name)][:UNDER_WAY]
        found = await asyncio.gather(*map(self._do, urgent or due[:AT_LEISURE]), return_exceptions=True)
        self._means.wake()
        for error in found:
            if isinstance(error, BaseException):
                raise error
        return True

    def says(self, pool: str) -> str:
        """Return what keeps a pool's addresses from being had of Neutron, empty if nothing does."""
        said = {each.said for (of, _), each in self._put_off.items() if of == pool}
        return self._away or "; ".join(sorted(said))

    async def _list(self, cluster: str) -> None:
        now = self._means.clock()
        self._ports = {port.id: port for port in await self._means.neutron.ports(cluster)}
        self._listed = now

    def _view(self, now: dt.datetime) -> View:
        world, ports = self._world, self._ports or {}
        lacks = [lack for each in world.waiting.lacks.values() for lack in each]
        claims = world.books.claims
        return View(tuple(ports.values()), claims, world.books.ledger, lacks, self._naming(), self._spare, now)

    def _naming(self) -> Naming:
        return Naming(self._world.ours.cluster or cluster_uid(self._world))

    async def _do(self, order: Order) -> None:
        """Do one thing; what is refused is put off and said, whatever else fails is raised."""
        try:
            try:
                await self._perform(order)
            except NeutronRefused as error:
                if error.status in {_GONE, _CHANGED} and isinstance(order, Adopt | GiveBack | Name):
                    self._ports = None
                    return
                self._refuse(order, str(error))
                if isinstance(order, FetchAt) and error.kind in _TAKEN:
                    await self._disown(order.address)
        except Conflict as error:
            # the watch will tell what it is now
            self._refuse(order, str(error))

    async def _perform(self, order: Order) -> None:
        self._must_lead()
        neutron = self._means.neutron
        match order:
            case Fetch(_, subnet, count):
                await self._fetch(subnet, [None] * count)
            case FetchAt(_, subnet, address):
                await self._fetch(subnet, [address])
            case Adopt(port, claim):
                if claim.version:
                    # somebody may be about to delete it, having let go of it: not any more
                    self._know(await neutron.rename(port, self._naming().of(claim.document)))
                await self._write(claim)
            case LetGo(claim):
                await self._write(claim)
            case GiveBack(port, claim):
                if claim is not None:
                    await self._write(claim)
                if not port.leaving:
                    port = self._know(await neutron.rename(port, self._naming().leaving))
                await neutron.delete(port)
                self._known().pop(port.id, None)
            case Name(port, name):
                self._know(await neutron.rename(port, name))

    async def _fetch(self, subnet: str, wanted: Sequence[Address | None]) -> None:
        """Make ports; of many that are refused together, fewer."""
        cluster, naming = cluster_uid(self._world), self._naming()
        try:
            made = await self._means.neutron.create(cluster, naming.spare, subnet, wanted)
        except NeutronRefused:
            if len(wanted) == 1:
                raise
            await self._fetch(subnet, wanted[: len(wanted) // 2])
            return
        for port in made:
            self._know(port)

    async def _write(self, claim: Claim) -> None:
        self._must_lead()
        self._world.claim(await self._means.writes.claim(claim))
        self._must_lead()

    async def _disown(self, at: Address) -> None:
        """Write of an address whose port is gone, and which OpenStack has given away, that Neutron keeps it no more."""
        claim = self._world.books.claims.get(at)
        if claim is None or claim.document.released is not None or not claim.document.id:
            return
        # whoever led before us may have made the port just now
        ports = await self._means.neutron.ports(cluster_uid(self._world))
        if any(port.address == at for port in ports):
            self._ports = None
        else:
            await self._write(claim._replace(document=msgspec.structs.replace(claim.document, id="")))

    def _must_lead(self) -> None:
        if not self._means.leading():
            raise Conflict("another controller leads")

    def _known(self) -> dict[str, Port]:
        if self._ports is None:
            return {}
        return self._ports

    def _know(self, port: Port) -> Port:
        self._known()[port.id] = port
        return port

    def _refuse(self, order: Order, said: str) -> None:
        key = _key(order)
        self._put_off[key] = PutOff(self._means.clock() + REFUSED, said)
        self._means.log.warning("addresses of Neutron wait", what=" ".join(key), error=said)
        self._world.stir([key[0]])

    def _say(self, away: str) -> None:
        if away != self._away:
            self._away = away
            self._world.stir(pool.name for pool in neutron_pools(self._world.books.ledger))
            if not away:
                self._means.log.info("Neutron answers")


def cluster_uid(world: World) -> str:
    """Return what tells a cluster from every other: the uid of its first namespace; empty: not known yet."""
    found = world.namespaces.get("kube-system")
    return found.metadata.uid if found else ""


def _missed(view: View) -> set[tuple[Address, str]]:
    return {(claim.document.address, claim.document.id) for claim in missing(view)}


def _key(order: Order) -> tuple[str, str]:
    """Return what an order is about: a pool, and in it an address, or none."""
    match order:
        case Fetch(pool, _, _):
            return pool, ""
        case FetchAt(pool, _, address):
            return pool, address
        case Adopt(port, _) | GiveBack(port, _) | Name(port, _):
            return "", port.address
        case LetGo(claim):
            return "", claim.document.address
