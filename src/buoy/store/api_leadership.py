# SPDX-License-Identifier: Apache-2.0
"""Leadership: of several processes one acts, and another within seconds after it ended or hung.

Promises: never do two of them believe to lead at once, as long as nobody else writes
the lease and their clocks run at about the same speed. A leader stops believing two
thirds of a lease's time after it *began* the last renewal that succeeded; others wait
the whole time after they *heard* of it. The tricky thing is what a leader began before
it lost: that cannot be called back, so its writes must compare versions.

Source: the algorithm of client-go's tools/leaderelection.
"""

import asyncio
from typing import Self

from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES, Lease, body, now
from buoy.store.api_names import ObjectName
from buoy.store.store import Reporter

TTL = 15
"""Seconds after which others take over from a leader that is silent; client-go's default."""


class Leadership:
    """Candidate for a lease as long as the context is open; gives the lease back at its end.

    `holder` is another for every process. What a leader does must be stopped by `lost`, and
    have ended before the context does.
    """

    def __init__(self, api: ApiServer, name: ObjectName, holder: str, reporter: Reporter, ttl: int = TTL) -> None:
        self._api = api
        self._name = name
        self._holder = holder
        self._reporter = reporter
        self._ttl = ttl
        self._until = 0.0
        self._seen: tuple[str, str | None, int] | None = None
        self._seen_at = 0.0
        self._leader: str | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def leading(self) -> bool:
        """Whether we lead, by the clock as it is now: to be asked before every act."""
        return self._clock() < self._until

    @property
    def leader(self) -> str | None:
        """Who led when we last heard; None: nobody."""
        return self._leader

    async def acquired(self) -> None:
        """Return once we lead; raise what a bug raised in keeping the lease."""
        while not self.leading:
            await self._wait(None)

    async def lost(self) -> None:
        """Return once we do not lead; raise what a bug raised in keeping the lease."""
        while self.leading:
            await self._wait(self._until - self._clock())

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._strive(), name=f"leadership {self._name}")
        self._task.add_done_callback(lambda _: self._tell())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._raise_bug()
        if self.leading:
            await self._release()

    async def _strive(self) -> None:
        reported = False
        while True:
            try:
                await self._once()
            except BuoyError as error:
                # a conflict is another who was faster
                if not isinstance(error, Conflict):
                    reported = True
                    text = f"leadership: {error}"
                    self._reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(text))
            else:
                if reported:
                    reported = False
                    self._reporter(None)
            await asyncio.sleep(self._ttl / 8 * (1 + self._api.jitter() / 4))

    async def _once(self) -> None:
        began = self._clock()
        lease = await self._api.get(LEASES.at(self._name), Lease)
        if not self._may_take(lease):
            self._leader = lease.spec.holder_identity if lease else None
            self._lose()
            return
        if lease is None:
            spec = {"acquireTime": now(), "leaseTransitions": 0, **self._held()}
            await self._api.create(LEASES, self._name.namespace, body(self._name, spec), Lease)
        else:
            await self._write(lease, self._taken(lease))
        self._leader = self._holder
        self._until = began + self._ttl * 2 / 3
        self._tell()

    def _may_take(self, lease: Lease | None) -> bool:
        if lease is not None:
            spec = lease.spec
            if not spec.holder_identity or spec.holder_identity == self._holder:
                return True
            seen = spec.holder_identity, spec.renew_time, max(spec.lease_duration_seconds or 0, self._ttl)
            if seen != self._seen:
                self._seen, self._seen_at = seen, self._clock()
        # somebody may have deleted it under a leader that has not noticed yet
        return self._seen is None or self._clock() >= self._seen_at + self._seen[2]

    def _taken(self, lease: Lease) -> dict[str, object]:
        if lease.spec.holder_identity == self._holder:
            return self._held()
        transitions = (lease.spec.lease_transitions or 0) + 1
        return {"acquireTime": now(), "leaseTransitions": transitions, **self._held()}

    def _held(self) -> dict[str, object]:
        return {"holderIdentity": self._holder, "leaseDurationSeconds": self._ttl, "renewTime": now()}

    async def _write(self, lease: Lease, spec: dict[str, object]) -> None:
        patch = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
        if await self._api.patch(LEASES.at(self._name), patch, Lease) is None:
            raise Conflict(f"lease {self._name}: deleted just now")

    async def _release(self) -> None:
        self._lose()
        try:
            lease = await self._api.get(LEASES.at(self._name), Lease)
            if lease is not None and lease.spec.holder_identity == self._holder:
                await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now()})
        except BuoyError as error:
            # it runs out by itself
            self._reporter(StoreUnavailable(f"leadership: {error}"))

    def _lose(self) -> None:
        self._until = 0.0
        self._tell()

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, seconds: float | None) -> None:
        self._raise_bug()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _raise_bug(self) -> None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None:
                raise error
