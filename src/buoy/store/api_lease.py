# SPDX-License-Identifier: Apache-2.0
"""Leases in an API server: written by who lives, and judged by who watches.

Promises: a lease is renewed whenever the server answers, and whoever watches takes
a holder as gone only after hearing nothing new of it for its whole time while the
server was there to be heard. The tricky thing is that two clocks are never compared:
`renewTime` is only looked at for whether it is another than before. But who looks only once,
as a command line does, has nothing to go by but the clocks (`glance`).

Source: kubernetes.io, "Leases"; API reference coordination.k8s.io/v1.
"""

import asyncio
import datetime as dt
import math
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

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
UNPROVEN = 9
"""Times its own time after which a lease lapses although nothing else was heard either."""
STALE = 1.5
"""Times its own time after which a lease looks over to who looks only once."""
GRACE = 1.0
"""Seconds after its time in which a lease may still be heard of: what came while we were stopped ourselves."""


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


def stale(lease: Lease, date: str) -> bool:
    """Tell whether a lease was over long before the date of an HTTP answer; False where either cannot be read."""
    spec = lease.spec
    try:
        answered, renewed = parsedate_to_datetime(date), dt.datetime.fromisoformat(spec.renew_time or "")
        return answered - renewed > dt.timedelta(seconds=STALE * (spec.lease_duration_seconds or 0))
    except (TypeError, ValueError):
        return False


def now() -> str:
    """Return the time as Kubernetes writes it in leases: RFC 3339 with six digits of a second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Held:
    """A lease that was heard of."""

    def __init__(self, renewed: tuple[str, str | None], ttl: int) -> None:
        self.renewed = renewed
        self.ttl = ttl
        self.since = 0.0
        """When it was renewed, or heard of again, by our clock."""
        self.doubted: float | None = None
        """Since when its time has passed."""
        self.alive = False


class Liveness:
    """Whose leases are kept, by our own clock; fed with the news of an informer of leases.

    Call `interrupted` at every report of an outage and at its end: what could not be heard proves nothing.
    Nor does silence: a lease lapses after its time if anything else was heard in the second half of it,
    and after `UNPROVEN` times its time if nothing was, for then we may be the one who is deaf. `lapse`
    is to be asked twice, for the first time may be before what came meanwhile was heard.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[ObjectName, _Held] = {}
        self._heard = 0.0

    def alive(self, name: ObjectName) -> bool:
        """Tell whether a lease was held when `take` or `lapse` last told."""
        return name in self._held and self._held[name].alive

    def take(self, changed: Mapping[ObjectName, Lease | None]) -> frozenset[ObjectName]:
        """Hear of leases; return those that are held now and were not, or the other way round.

        One heard of for the first time counts as held: it may have been renewed just before.
        """
        if changed:
            self._heard = self._clock()
        return frozenset(name for name, lease in changed.items() if self._take(name, lease))

    def glance(self, changed: Mapping[ObjectName, Lease | None], date: str) -> frozenset[ObjectName]:
        """Hear of leases like `take`, for who looks once and cannot wait: one that is long over is not held.

        `date` is the server's clock as HTTP says it. A holder's clock that is behind by `STALE` times the lease's time
        makes it look dead, so this is for telling people, never for acting.
        """
        before = {name for name in changed if self.alive(name)}
        self.take(changed)
        for name in [name for name, lease in changed.items() if lease is not None and stale(lease, date)]:
            if name in self._held:
                self._held[name].alive = False
        return frozenset(before.symmetric_difference(name for name in changed if self.alive(name)))

    def interrupted(self) -> None:
        """Begin the time of every lease anew."""
        for held in self._held.values():
            held.since, held.doubted = self._clock(), None

    def lapse(self) -> frozenset[ObjectName]:
        """Return the leases whose time has passed since this was last asked; they are held no more."""
        at = self._clock()
        lapsed = set()
        for name, held in self._held.items():
            if not held.alive or self._due(held) > at:
                continue
            if held.doubted is None:
                held.doubted = at
            else:
                held.alive = False
                lapsed.add(name)
        return frozenset(lapsed)

    def wait(self) -> float | None:
        """Return the seconds until `lapse` is to be asked; None: only when something was heard before."""
        due = min((self._due(held) for held in self._held.values() if held.alive), default=math.inf)
        return None if due == math.inf else max(0.0, due - self._clock())

    def _due(self, held: _Held) -> float:
        proven = self._heard >= held.since + held.ttl / 2
        due = held.since + (held.ttl if proven else UNPROVEN * held.ttl)
        return due if held.doubted is None else max(due, held.doubted + GRACE)

    def _take(self, name: ObjectName, lease: Lease | None) -> bool:
        was = self.alive(name)
        if lease is None or not lease.spec.holder_identity or not lease.spec.lease_duration_seconds:
            self._held.pop(name, None)
            return was
        renewed = lease.spec.holder_identity, lease.spec.renew_time
        known = self._held.get(name)
        if known is None or known.renewed != renewed:
            # else somebody wrote something else to it, a label say
            self._held[name] = known = _Held(renewed, lease.spec.lease_duration_seconds)
            known.since, known.alive = self._clock(), True
        return known.alive is not was
