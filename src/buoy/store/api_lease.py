# SPDX-License-Identifier: Apache-2.0
"""Leases in an API server: written by who lives, and judged by who watches.

Promises: a lease is renewed whenever the server answers, and whoever watches takes
a holder as gone only after hearing nothing new of it for its whole time while the
server was there to be heard. The tricky thing is that two clocks are never compared:
`renewTime` is only looked at for whether it is another than before.

Source: kubernetes.io, "Leases"; API reference coordination.k8s.io/v1.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Mapping

import msgspec

from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource
from buoy.store.store import Reporter

LEASES = Resource("coordination.k8s.io", "v1", "leases", namespaced=True)
RETRY = 0.5
"""Seconds between attempts while the server is away."""
BEATS = 3
"""Renewals in the time of a lease: two may be lost."""


class Metadata(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What we need of a lease's metadata."""

    name: str
    namespace: str
    resource_version: str = ""
    uid: str = ""


class LeaseSpec(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Who holds a lease, since when and for how many seconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, kw_only=True, frozen=True):
    """A Lease object."""

    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


async def keep(api: ApiServer, name: ObjectName, holder: str, ttl: int, reporter: Reporter) -> None:
    """Renew a lease of `ttl` seconds until cancelled, making it if it is not there; raises for no outage.

    Whoever else writes it is overwritten: the name is the holder's alone. It is not deleted at the end,
    so that a restart is not seen. `reporter` hears of failures, and None once the server answers again.
    """
    reported = False
    while True:
        try:
            await renew(api, name, holder, ttl)
        except BuoyError as error:
            reported = True
            reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"lease: {error}"))
            await asyncio.sleep(RETRY * (1 + api.jitter()))
            continue
        if reported:
            reported = False
            reporter(None)
        await asyncio.sleep(ttl / BEATS)


async def renew(api: ApiServer, name: ObjectName, holder: str, ttl: int) -> None:
    """Write a lease once as held from now for `ttl` seconds; raise like `ApiServer.create`."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": ttl, "renewTime": now()}
    if await api.patch(LEASES.at(name), {"spec": spec}, Lease) is None:
        try:
            await api.create(LEASES, name.namespace, body(name, spec), Lease)
        except Conflict as error:
            raise StoreUnavailable(f"lease {name}: made by another just now") from error


def body(name: ObjectName, spec: Mapping[str, object]) -> Mapping[str, object]:
    """Return a whole Lease object, as to be created."""
    metadata = {"namespace": name.namespace, "name": name.name}
    return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}


def now() -> str:
    """Return the time as Kubernetes writes it in leases: RFC 3339 with six digits of a second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Liveness:
    """Whose leases are kept, by our own clock; fed with the news of an informer of leases.

    Call `interrupted` at every report of an outage and at its end: what could not be heard proves nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._renewed: dict[ObjectName, tuple[str | None, str | None]] = {}
        self._until: dict[ObjectName, float] = {}
        self._ttl: dict[ObjectName, int] = {}
        self._alive: set[ObjectName] = set()

    def alive(self, name: ObjectName) -> bool:
        """Tell whether a lease was held when `take` or `lapse` last told."""
        return name in self._alive

    def take(self, changed: Mapping[ObjectName, Lease | None]) -> frozenset[ObjectName]:
        """Hear of leases; return those that are held now and were not, or the other way round.

        One heard of for the first time counts as held: it may have been renewed just before.
        """
        return frozenset(name for name, lease in changed.items() if self._take(name, lease))

    def interrupted(self) -> None:
        """Begin the time of every lease anew."""
        for name in self._alive:
            self._until[name] = self._clock() + self._ttl[name]

    def lapse(self) -> frozenset[ObjectName]:
        """Return the leases whose time has passed since this was last asked; they are held no more."""
        at = self._clock()
        lapsed = frozenset(name for name in self._alive if self._until[name] <= at)
        self._alive -= lapsed
        return lapsed

    def wait(self) -> float | None:
        """Return the seconds until `lapse` may return some; None: only if something is heard before."""
        earliest = min((self._until[name] for name in self._alive), default=None)
        return None if earliest is None else max(0.0, earliest - self._clock())

    def _take(self, name: ObjectName, lease: Lease | None) -> bool:
        was = name in self._alive
        if lease is None or not lease.spec.holder_identity or not lease.spec.lease_duration_seconds:
            for known in (self._renewed, self._until, self._ttl):
                known.pop(name, None)
            self._alive.discard(name)
            return was
        renewed = lease.spec.holder_identity, lease.spec.renew_time
        if self._renewed.get(name) == renewed:
            # somebody else wrote to it, a label say
            return False
        self._renewed[name] = renewed
        self._ttl[name] = lease.spec.lease_duration_seconds
        self._until[name] = self._clock() + self._ttl[name]
        self._alive.add(name)
        return not was
