# SPDX-License-Identifier: Apache-2.0
"""What is to be done that ports of Neutron and claims agree: a pure function of both.

Promises: every claim of a pool whose books Neutron keeps names a port of ours that has its address, so that nobody in
OpenStack is given it; ports that are not needed go back after the hold-down; and stopped after any order, the next
look finds the rest. The order of things: first the port, then the claim with its id; first the claim lets go of the
port, then the port goes. The tricky thing is what nobody has: it stands in a claim as well, released and without
owner, with the id of its port once it is ours to give, without it once it is not. So giving it to an object, and
every other step, replaces a version of a claim, and whoever decided on something else long ago conflicts.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from buoy.controller.neutron_ports import Naming, Port, subnet_of
from buoy.controller.subject import Claim
from buoy.controller.waiting import Lack
from buoy.ipam.blocks import number
from buoy.ipam.ledger import Ledger
from buoy.model.address import Address
from buoy.model.pool import Pool, Registry
from buoy.model.service_ip import Mode, ServiceIP

AT_ONCE = 10
"""Ports asked for in one call, which is to be over long before its deadline, however busy Neutron is."""


class Fetch(NamedTuple):
    """Make ports for a pool, wherever Neutron has addresses."""

    pool: str
    subnet: str
    how_many: int


class FetchAt(NamedTuple):
    """Make the port of one address."""

    pool: str
    subnet: str
    address: Address


class Adopt(NamedTuple):
    """Write the claim that names a port: make it, or put the port's id into it."""

    port: Port
    claim: Claim


class GiveBack(NamedTuple):
    """Write the claim that names the port no more, if there is one, and then delete the port."""

    port: Port
    claim: Claim | None


class LetGo(NamedTuple):
    """Write the claim that nobody has without the id of a port that is gone."""

    claim: Claim


class Name(NamedTuple):
    """Call a port otherwise."""

    port: Port
    name: str


Order: TypeAlias = Fetch | FetchAt | Adopt | GiveBack | LetGo | Name

_TURN = {Fetch: 0, FetchAt: 0, Adopt: 1, LetGo: 1, GiveBack: 2, Name: 3}
"""Who waits for an address comes before what nobody waits for; a name is as much work for Neutron as a port."""


class View(NamedTuple):
    """What is known: our ports, the claims, the pools and who has what (`ledger`), what objects lack.

    `spare` is how many addresses of a pool are kept ready.
    """

    ports: Collection[Port]
    claims: Mapping[Address, Claim]
    ledger: Ledger
    lacks: Iterable[Lack]
    naming: Naming
    spare: int
    now: dt.datetime


def orders(view: View) -> tuple[Order, ...]:
    """Return what is to be done, each apart from the others, the most urgent first."""
    found: list[Order] = []
    free: defaultdict[str, list[tuple[Port, Claim]]] = defaultdict(list)
    coming: Counter[str] = Counter()
    for port in view.ports:
        pool, claim = _pool(port, view.ledger), view.claims.get(port.address)
        found += _of_port(port, pool, claim, view)
        if pool is not None and not port.leaving:
            if claim is None or (claim.document.id != port.id and not _is_live(claim)):
                coming[pool.name] += 1
            elif _is_free(port, claim, view):
                free[pool.name].append((port, claim))
    lacks: defaultdict[str, list[Address]] = defaultdict(list)
    for lack in view.lacks:
        lacks[lack.pool].append(lack.address)
    for pool in neutron_pools(view.ledger):
        found += _named(pool, lacks[pool.name], view)
        wanted = 0 if pool.draining else view.spare + sum(1 for address in lacks[pool.name] if not address)
        short = min(wanted - len(free[pool.name]) - coming[pool.name], AT_ONCE)
        if short > 0:
            found.append(Fetch(pool.name, subnet_of(pool), short))
        # twice as many may stay, or every Service that comes and goes would be two calls
        found += _surplus(pool, free[pool.name], 0 if pool.draining else wanted + view.spare, view.now)
    found += _portless(view)
    leaving = {order.port.id for order in found if isinstance(order, GiveBack)}
    sane = (order for order in found if not (isinstance(order, Name) and order.port.id in leaving))
    return tuple(sorted(sane, key=lambda order: _TURN[type(order)]))


def neutron_pools(ledger: Ledger) -> list[Pool]:
    """Return the pools whose books Neutron keeps."""
    return [pool for _, pool in sorted(ledger.pools.items()) if pool.registry is Registry.NEUTRON]


def missing(view: View) -> list[Claim]:
    """Return the claims of Neutron's pools that name no port there is."""
    ids = {port.id for port in view.ports if not port.leaving}
    pools = {pool.name for pool in neutron_pools(view.ledger)}
    claims = (claim for claim in view.claims.values() if claim.document.pool in pools)
    return [claim for claim in claims if claim.document.id not in ids and (claim.document.id or _is_live(claim))]


def _of_port(port: Port, pool: Pool | None, claim: Claim | None, view: View) -> Iterator[Order]:
    mine = claim is not None and claim.document.id == port.id
    if not port.address or (port.leaving and not mine):
        yield GiveBack(port, None)
    elif pool is None and (claim is None or _is_let_go(claim)):
        # another controller may know its pool, and be about to put it aside: it must find that it was too late
        yield GiveBack(port, _let_go(claim or Claim(ServiceIP(address=port.address, mode=Mode.PROXIED), ""), view.now))
    elif claim is None:
        assert pool is not None
        yield Adopt(port, Claim(_put_aside(port, pool, view.now), ""))
    elif not mine:
        if pool is not None:
            name = pool.name if claim.document.released else claim.document.pool
            yield Adopt(port, claim._replace(document=msgspec.structs.replace(claim.document, id=port.id, pool=name)))
    elif pool is None and _is_free(port, claim, view):
        yield GiveBack(port, _let_go(claim, view.now))
    elif view.naming.of(claim.document) != port.name and (_is_live(claim) or _is_free(port, claim, view)):
        # one that is held down keeps its name: it goes back to who had it, or leaves, more often than not
        yield Name(port, view.naming.of(claim.document))


def _named(pool: Pool, lacks: Iterable[Address], view: View) -> Iterator[Order]:
    """Yield what objects ask for by address."""
    known = {port.address for port in view.ports}
    for address in sorted({address for address in lacks if address and address not in known}):
        if not pool.draining:
            yield FetchAt(pool.name, subnet_of(pool), address)


def _surplus(pool: Pool, free: list[tuple[Port, Claim]], most: int, now: dt.datetime) -> Iterator[Order]:
    """Yield what goes back: the highest of what nobody had for a hold-down."""
    settled = [each for each in free if _has_been_free(each[1], pool, now)]
    settled.sort(key=lambda each: number(each[0].address), reverse=True)
    for port, claim in settled[: max(0, len(free) - most)]:
        yield GiveBack(port, _let_go(claim, now))


def _portless(view: View) -> Iterator[Order]:
    known = {port.address for port in view.ports}
    for claim in missing(view):
        document = claim.document
        until = view.ledger.until(view.ledger.claim(document.address) or document)
        if until is None and document.address not in known:
            # what people use: to be had again, unless OpenStack gave it to somebody meanwhile
            yield FetchAt(document.pool, subnet_of(view.ledger.pools[document.pool]), document.address)
        elif until is not None and until <= view.now:
            yield LetGo(_let_go(claim, view.now))


def _pool(port: Port, ledger: Ledger) -> Pool | None:
    """Return the pool a port's address is of."""
    if not port.address:
        return None
    pools = (pool for pool in ledger.pools_with(port.address) if pool.registry is Registry.NEUTRON)
    return next((pool for pool in pools if subnet_of(pool) == port.subnet), None)


def _is_live(claim: Claim) -> bool:
    return claim.document.released is None


def _is_let_go(claim: Claim) -> bool:
    return claim.document.released is not None and not claim.document.id


def _is_free(port: Port, claim: Claim, view: View) -> bool:
    """Tell whether nobody has the address of a port, and anybody may."""
    taken = view.ledger.claim(port.address)
    if claim.document.id != port.id or claim.document.released is None or taken is None or taken.released is None:
        return False
    until = view.ledger.until(taken)
    return until is not None and until <= view.now


def _has_been_free(claim: Claim, pool: Pool, now: dt.datetime) -> bool:
    since = claim.document.released
    return since is not None and since + dt.timedelta(seconds=pool.hold_down) <= now


def _let_go(claim: Claim, now: dt.datetime) -> Claim:
    """Return what stands in a claim's place for as long as others may still believe in the port."""
    document = claim.document
    return claim._replace(
        document=ServiceIP(address=document.address, mode=document.mode, pool=document.pool, released=now)
    )


def _put_aside(port: Port, pool: Pool, now: dt.datetime) -> ServiceIP:
    return ServiceIP(address=port.address, mode=Mode.PROXIED, id=port.id, pool=pool.name, released=now)
