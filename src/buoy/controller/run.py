# SPDX-License-Identifier: Apache-2.0
"""The controller as a process: it follows the API server always, and acts while it leads.

SIGTERM and SIGINT end it: what was begun is left as it is, and whoever leads next
finds it. The tricky thing is the moment of taking over: everything is looked at once,
for the last leader may have ended between two steps.
"""

import asyncio
import datetime as dt
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from buoy.controller.events import Events
from buoy.controller.fence import Fenced
from buoy.controller.identity import identity
from buoy.controller.metrics import Metrics
from buoy.controller.neutron_api import NeutronApi, NeutronSettings, check
from buoy.controller.neutron_keeper import Keeper, Means
from buoy.controller.notices import RESOURCES, Notices
from buoy.controller.observe import Observer, informers
from buoy.controller.pool_status import PoolReports
from buoy.controller.reading import Ours
from buoy.controller.work import Tools, Work
from buoy.controller.world import World
from buoy.controller.writes import Writes
from buoy.kubernetes.feed import Feed
from buoy.kubernetes.resources import NAMESPACE
from buoy.runtime.ending import first, signals
from buoy.runtime.health import Pulse, serve
from buoy.runtime.loop import Loop
from buoy.runtime.outages import Outages, Words
from buoy.store.api_client import ApiServer
from buoy.store.api_config import find
from buoy.store.api_leadership import Leadership
from buoy.store.api_names import ObjectName, Resource
from buoy.store.api_objects import News
from buoy.store.api_together import together

LEASE = "buoy-controller"
_AWAY = Words("API server", "nobody gets an address, and nobody loses one")


class ControllerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a controller; `kubeconfig` empty: $KUBECONFIG, else the account of its pod."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = NAMESPACE
    """Where the lease of the leader stands."""
    identity_file: str = ""
    """What keeps the name by which the lease is held, for the next process here; empty: nothing does."""
    listen: str = ""
    """``host:port`` of /metrics, /healthz and /readyz; empty: nowhere."""
    ours: Ours = Ours()
    neutron: NeutronSettings = NeutronSettings()
    """Of pools whose books Neutron keeps."""


async def run_controller(settings: ControllerSettings) -> None:
    """Run until a signal; raise `InvalidInput` for settings it cannot run with."""
    check(settings.neutron)
    api = ApiServer(find(settings.kubeconfig, settings.context), random.random)
    metrics, pulse = Metrics(), Pulse()
    neutron = NeutronApi(settings.neutron) if settings.neutron.endpoint else None
    stop_serving = serve(settings.listen, metrics.registry, pulse) if settings.listen else None
    try:
        with identity(settings.identity_file) as holder:
            await Process((api, neutron), settings, Vitals(metrics, pulse), holder).run()
    finally:
        if stop_serving:
            stop_serving()
        if neutron is not None:
            await neutron.close()
        await api.close()


class Vitals(NamedTuple):
    """What others may see of a process."""

    metrics: Metrics
    pulse: Pulse


class Process:
    """The tasks of one controller process; `holder` is no other living process's name."""

    def __init__(
        self, clients: tuple[ApiServer, NeutronApi | None], settings: ControllerSettings, vitals: Vitals, holder: str
    ) -> None:
        api, neutron = clients
        metrics, self._pulse = vitals
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self._outages = Outages(metrics.log, metrics.api_up, _AWAY)
        self._holder = holder
        self._fenced = Fenced(api, self._leads)
        self._world = World(settings.ours)
        self._observer = Observer(self._world, self._complain)
        self._events = Events(self._fenced, holder[:128], _now)
        self._work = Work(self._world, Tools(Writes(self._fenced), self._events, metrics, _now), self._wake)
        self._reports = PoolReports(self._world, self._fenced, metrics, _now)
        self._loop = Loop(self)
        self._complete = asyncio.Event()
        self._leading = False
        self._leadership: Leadership | None = None
        self._keeper: Keeper | None = None
        if neutron is not None:
            means = Means(neutron, Writes(self._fenced), metrics.log, _now, self._leads, self._wake)
            self._keeper = Keeper(self._world, means, settings.neutron.spare)

    def run_pass(self) -> float | None:
        """Run a pass of the work, and note that the loop beats."""
        if not self._leads():
            # a process that was stopped for long leads no more, whatever its tasks still believe
            return None
        with self._metrics.pass_seconds.time():
            delay = self._work.run_pass()
        self._pulse.beat()
        if self._keeper is not None:
            self._keeper.notice()
        return delay

    def _leads(self) -> bool:
        return self._leadership is not None and self._leadership.leading

    def failed(self, error: Exception) -> None:
        """Pass a failure on to the work."""
        self._work.failed(error)

    async def run(self) -> None:
        """Run every task until a signal or the first that fails."""
        stopped = asyncio.Event()
        with signals(stopped):
            await first(stopped.wait(), self._watch(), self._lead(), self._beat())

    def _wake(self) -> None:
        self._loop.wake()

    async def _watch(self) -> None:
        async for told in together(informers(self._api, self._outages)):
            self.hear(told)
            self._complete.set()
            self._metrics.api_up.set(1)
            self._pulse.ready = True
            self._loop.wake()

    def hear(self, told: Mapping[Resource, News[Any]]) -> None:
        """Hear of objects; who does not lead has nothing to do about them."""
        self._observer.take(told)
        if not self._leading:
            self._world.rest()

    async def _lead(self) -> None:
        name = ObjectName(self._settings.namespace, LEASE)
        async with Leadership(self._api, name, self._holder, self._outages) as leadership:
            self._leadership = leadership
            while True:
                await leadership.acquired()
                await self._complete.wait()
                self._set_leading(leading=True)
                self._metrics.log.info("leads", holder=self._holder)
                self._world.everything()
                works = [self._loop.run(), self._events.run(), self._reports.run(), self._notices().run()]
                if self._keeper is not None:
                    works.append(self._keeper.run())
                try:
                    await first(leadership.lost(), *works)
                finally:
                    await self._work.stop()
                    self._set_leading(leading=False)
                self._metrics.log.warning("leads no more", leader=str(leadership.leader))

    def _notices(self) -> Notices:
        def complain(why: str) -> None:
            self._metrics.log.warning("a condition waits", why=why)

        return Notices(self._fenced, Feed(self._api, RESOURCES, self._outages), _now, complain)

    def _set_leading(self, *, leading: bool) -> None:
        self._leading = leading
        self._metrics.leading.set(leading)

    async def _beat(self) -> None:
        """One that waits to lead is alive, too."""
        while True:
            await asyncio.sleep(5)
            if not self._leading:
                self._pulse.beat()

    def _complain(self, resource: Resource, name: ObjectName, why: str) -> None:
        self._metrics.log.error("cannot be read", resource=str(resource), object=str(name), error=why)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
