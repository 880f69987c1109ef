# SPDX-License-Identifier: Apache-2.0
"""A cluster whose objects, pools and clock change by chance, and controllers that are slow, two, and killed.

The store is a dictionary that creates what is absent and replaces what is unchanged.
A controller sees it as it was when it last listened, which is not longer ago than a
hold-down lasts, and may end between any two writes.
"""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from buoy.ipam.allocate import allocate
from buoy.ipam.claim import claimed, without
from buoy.ipam.ledger import Ledger
from buoy.ipam.life import Census, Living, care
from buoy.ipam.request import Allocation, Choice, Request, Scope
from buoy.model.address import Address, Prefix
from buoy.model.errors import Conflict
from buoy.model.pool import Pool
from buoy.model.proxied import Backing, Kind, ProxyPort
from buoy.model.refusal import Refusal
from buoy.model.service_ip import Identity, Owner, ServiceIP

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
HOLD_DOWN = 300.0
NAMES = tuple(f"s{number}" for number in range(14))
NAMESPACES = ("dev", "sales")
PORTS = tuple(ProxyPort("tcp", port) for port in (80, 443, 8080))
POOLS = (
    Pool(name="a", prefixes=(Prefix("198.51.100.0/29"),), hold_down=HOLD_DOWN, remember=900.0),
    Pool(name="b", prefixes=(Prefix("192.0.2.0/30"), Prefix("2001:db8::/126")), hold_down=HOLD_DOWN, priority=1),
    Pool(name="c", prefixes=(Prefix("2001:db8:c::/64"),), hold_down=HOLD_DOWN, automatic=False),
)
WANTED = {4: Address("198.51.100.3"), 6: Address("2001:db8::2")}


class Thing(NamedTuple):
    """An object: what it asks for, what its status shows, and its version."""

    request: Request
    shown: tuple[Address, ...]
    version: int


class Cluster:
    """The store: claims and objects with their versions, pools, and the time."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.pools = {pool.name: pool for pool in POOLS}
        self.claims: dict[Address, tuple[ServiceIP, int]] = {}
        self.things: dict[Identity, Thing] = {}
        self.now = START
        self.version = 0

    def write(self, after: ServiceIP, version: int) -> None:
        """Create a claim (version 0) or replace the one of a version."""
        standing = self.claims.get(after.address)
        if (standing[1] if standing else 0) != version:
            raise Conflict(after.address)
        self.version += 1
        self.claims[after.address] = (after, self.version)

    def purge(self, address: Address, version: int) -> None:
        """Delete a claim of a version."""
        if address in self.claims and self.claims[address][1] != version:
            raise Conflict(address)
        self.claims.pop(address, None)

    def publish(self, identity: Identity, shown: tuple[Address, ...], version: int) -> None:
        """Write the status of an object of a version."""
        thing = self.things.get(identity)
        if thing is None or thing.version != version:
            raise Conflict(identity)
        self.put(thing.request, shown)

    def put(self, request: Request, shown: tuple[Address, ...] = ()) -> None:
        """Write an object."""
        self.version += 1
        self.things[request.owner.identity] = Thing(request, shown, self.version)

    def change(self) -> None:
        """Change something that people, or time, change."""
        what = self.chance.random()
        if what < 0.45:
            self._change_object()
        elif what < 0.6:
            self.now += dt.timedelta(seconds=self.chance.choice((1, 30, 150, 301, 1000)))
        elif what < 0.64:
            self._change_pool()

    def _change_object(self) -> None:
        owner = Owner(kind="Service", namespace=self.chance.choice(NAMESPACES), name=self.chance.choice(NAMES))
        thing = self.things.get(owner.identity)
        if thing is None:
            born = msgspec.structs.replace(owner, uid=str(self.version))
            self.put(random_request(self.chance, born))
        elif self.chance.random() < 0.6:
            del self.things[owner.identity]
        else:
            self.put(random_request(self.chance, thing.request.owner), thing.shown)

    def _change_pool(self) -> None:
        pool = self.chance.choice(POOLS)
        changes: tuple[dict[str, object], ...] = (
            {},
            {},
            {"draining": True},
            {"quota": self.chance.randint(0, 4)},
            {"namespaces": ("dev",)},
            {"exclude": (Prefix("198.51.100.2/31"), Prefix("192.0.2.0/32"))},
        )
        self.pools[pool.name] = msgspec.structs.replace(pool, **self.chance.choice(changes))


def random_request(chance: random.Random, owner: Owner) -> Request:
    """Return a request of an owner; half of them ask for nothing but an address."""
    request = Request(owner=owner, families=chance.choice(((4,), (4,), (6, 4), (6,), ())))
    if chance.random() < 0.5:
        return request
    scope = chance.choice(list(Scope))
    pools = chance.choice((("a",), ("c", "b"), ("missing",)))
    choices = {of_family: Choice(pools=pools, scope=scope, said="x") for of_family in request.families}
    changes: tuple[dict[str, object], ...] = (
        {"require_all": True},
        {"wanted": {of_family: WANTED[of_family] for of_family in request.families}},
        {"choices": choices},
        {"externals": (Address("198.51.100.5"), Address("203.0.113.1"))},
        {"sharing": "k", "ports": (chance.choice(PORTS),)},
        {"sharing": "k", "ports": tuple(sorted(chance.sample(PORTS, 2)))},
        {"sharing": "k", "ports": PORTS[:1], "backends": f"{owner.namespace}: app=web"},
    )
    return msgspec.structs.replace(request, **chance.choice(changes))


class Controller:
    """One process: a view of the cluster, and a ledger kept up with it step by step."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ledger = Ledger()
        self.claims: dict[Address, tuple[ServiceIP, int]] = {}
        self.things: dict[Identity, Thing] = {}
        self.heard = cluster.now
        self.listen()

    def listen(self) -> None:
        """See the cluster as it is: what a status shows stands in the ledger, too, whoever claims it."""
        self.claims, self.things, self.heard = dict(self.cluster.claims), dict(self.cluster.things), self.cluster.now
        for pool in self.cluster.pools.values():
            self.ledger.put_pool(pool)
        shown: defaultdict[Address, list[Backing]] = defaultdict(list)
        for (_, _, namespace, name), thing in sorted(self.things.items()):
            for address in thing.shown:
                shown[address].append(Backing(service=f"{namespace}/{name}", kind=Kind.LOAD_BALANCER))
        standing = {address: claim for address, (claim, _) in self.claims.items()}
        documents = {address: standing.get(address, ServiceIP(address=address)) for address in (*standing, *shown)}
        for address in self.ledger.holdings.claims.keys() - documents.keys():
            self.ledger.remove(address)
        for address, document in documents.items():
            seen = msgspec.structs.replace(document, backings=tuple(shown[address]))
            if seen != self.ledger.claim(address):
                self.ledger.put(seen)

    def is_behind(self) -> bool:
        """Tell whether it has heard nothing for so long that it would not lead any more."""
        return (self.cluster.now - self.heard).total_seconds() > HOLD_DOWN / 2

    def decide(self, thing: Thing) -> Allocation | Refusal:
        """Return what an object is to have, as far as this controller knows."""
        request = msgspec.structs.replace(thing.request, shown=thing.shown)
        return allocate(request, self.ledger, self.cluster.now)

    def look_at(self, identity: Identity) -> Iterator[str]:
        """Carry out what an object is to have, a write at a time: claims, status, releases."""
        thing = self.things.get(identity)
        if thing is None:
            return
        decision = self.decide(thing)
        if isinstance(decision, Refusal):
            decision = Allocation(surplus=tuple(claim.address for claim in self._held(thing)))
        for given in (*decision.addresses, *decision.externals):
            standing, version = self.claims.get(given.address, (None, 0))
            after = claimed(thing.request, given, standing)
            if after != standing:
                yield from self._write(after, version)
        shown = tuple(given.address for given in decision.addresses)
        if shown != thing.shown:
            self.cluster.publish(identity, shown, thing.version)
            yield "publish"
        for address in decision.surplus:
            standing, version = self.claims[address]
            yield from self._write(without(standing, [identity], self.cluster.now), version)

    def tidy(self) -> Iterator[str]:
        """Release and purge claims, a write at a time."""
        living = {
            identity: Living(thing.request.owner.uid, frozenset(thing.shown)) for identity, thing in self.things.items()
        }
        found = care(self.ledger, Census("", frozenset({"Service"}), living), self.cluster.now)
        for before, after in found.writes:
            yield from self._write(msgspec.structs.replace(after, backings=()), self.claims[before.address][1])
        for claim in found.purges:
            self.cluster.purge(claim.address, self.claims[claim.address][1])
            yield "purge"

    def _write(self, after: ServiceIP, version: int) -> Iterator[str]:
        self.cluster.write(after, version)
        self.claims[after.address] = self.cluster.claims[after.address]
        known = self.ledger.claim(after.address)
        self.ledger.put(msgspec.structs.replace(after, backings=known.backings if known else ()))
        yield "write"

    def _held(self, thing: Thing) -> tuple[ServiceIP, ...]:
        return self.ledger.holdings.held(thing.request.owner)
