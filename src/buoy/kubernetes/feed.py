# SPDX-License-Identifier: Apache-2.0
"""The objects that have a say in some documents: what is new of them, by resource.

Promises nothing before every resource has listed, and an outage is reported and
waited out. The tricky thing is Calico's version: where a server stands before
projectcalico.org/v3, the API server itself serves the same objects by a second name,
which does not go away with that server; so that one is preferred. Which there are is
asked at the beginning; one that is not known, or not any more, makes way for the other.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

import msgspec

from buoy.kubernetes.resources import BGP_CONFIGURATIONS, CALICO, CALICO_TWIN, NAMESPACE, PODS
from buoy.kubernetes.structs import OPTIONAL, STRUCTS
from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.store.api_client import ApiServer, decode
from buoy.store.api_informer import Informer
from buoy.store.api_lease import LEASES
from buoy.store.api_names import Resource, Selection
from buoy.store.api_objects import News
from buoy.store.api_together import together
from buoy.store.api_transport import Request
from buoy.store.store import Reporter

_TWINS = {CALICO_TWIN: BGP_CONFIGURATIONS.version, BGP_CONFIGURATIONS.version: CALICO_TWIN}
RETRY = 0.5
"""Seconds between attempts of one question."""

T = TypeVar("T")


class _Version(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    """What the API server says of a group (meta/v1 APIGroup)."""

    versions: tuple[_Version, ...] = ()


class Reports:
    """One reporter for many informers: it hears each failure, and None once none of them has one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._failing: set[str] = set()

    def forget(self) -> None:
        """Take it that none of them has a failure: they are no more."""
        if self._failing:
            self._failing.clear()
            self._reporter(None)

    def of(self, who: str) -> Reporter:
        """Return the reporter of one of them."""

        def report(error: StoreUnavailable | None) -> None:
            if error is not None:
                self._failing.add(who)
                self._reporter(error)
            elif who in self._failing:
                self._failing.remove(who)
                if not self._failing:
                    self._reporter(None)

        return report


class Feed:
    """Informers of some resources; `interrupted` is called at every report of an outage of the leases, and its end.

    Of pods those of `node` are followed, not the cluster's.
    """

    def __init__(
        self,
        api: ApiServer,
        resources: Sequence[Resource],
        reporter: Reporter,
        interrupted: Callable[[], None] = lambda: None,
        node: str = "",
    ) -> None:
        self._node = node
        self._api = api
        self._resources = resources
        self._reports = Reports(reporter)
        self._interrupted = interrupted
        self._calico = BGP_CONFIGURATIONS.version
        self._followed: dict[Resource, Informer[Any]] = {}

    async def news(self, patience: Callable[[], float | None]) -> AsyncGenerator[Mapping[Resource, News[Any]], None]:
        """Yield what is new by resource, first of all of them; then none of any after `patience()` seconds without.

        Called again, it lists everything anew.
        """
        self._reports.forget()
        self._followed.clear()
        await self._find_versions()
        asked = {self.at(resource): resource for resource in self._resources}
        self._followed.update((resource, self._informer(resource, at)) for at, resource in asked.items())
        # an async generator, which its type does not say
        feed = cast("AsyncGenerator[Mapping[Resource, News[Any]], None]", together(list(self._followed.values())))
        async with aclosing(feed):
            coming = asyncio.ensure_future(anext(feed))
            begun = False
            try:
                while True:
                    # until all have listed not even a lease is told of, and silence proves nothing
                    await asyncio.wait((coming,), timeout=patience() if begun else None)
                    if coming.done():
                        begun, told = True, coming.result()
                        coming = asyncio.ensure_future(anext(feed))
                        yield {asked[resource]: news for resource, news in told.items()}
                    else:
                        yield {}
            finally:
                coming.cancel()
                await asyncio.wait((coming,))

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return an answer, however long the server is away."""
        report = self._reports.of("question")
        while True:
            try:
                answer = await ask()
            except BuoyError as error:
                report(error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error)))
                await asyncio.sleep(RETRY * (1 + self._api.jitter()))
                continue
            report(None)
            return answer

    def at(self, resource: Resource) -> Resource:
        """Return the version by which a resource is followed now."""
        if resource in self._followed:
            return self._followed[resource].at
        return resource._replace(version=self._calico) if resource.group == CALICO else resource

    async def _find_versions(self) -> None:
        if any(resource.group == CALICO for resource in self._resources):
            group = Request("GET", f"/apis/{CALICO}")
            found = await self.answered(lambda: self._api.call(group, f"ask for versions of {CALICO}"))
            served = {each.version for each in decode(found, _Group, CALICO).versions} if found else {CALICO_TWIN}
            self._calico = CALICO_TWIN if CALICO_TWIN in served else BGP_CONFIGURATIONS.version

    def _informer(self, resource: Resource, at: Resource) -> Informer[Any]:
        selection = Selection(
            namespace=NAMESPACE if resource == LEASES else "",
            fields=f"spec.nodeName={self._node}" if resource == PODS else "",
            optional=resource in OPTIONAL,
            twin=_TWINS[at.version] if resource.group == CALICO else "",
        )
        reporter = self._reports.of(str(resource))
        if resource == LEASES:
            reporter = self._patient(reporter)
        return Informer(self._api, at, STRUCTS[resource], reporter, selection)

    def _patient(self, reporter: Reporter) -> Reporter:
        """Let it be known that leases could not be heard: what was not heard proves nobody's death."""

        def report(error: StoreUnavailable | None) -> None:
            self._interrupted()
            reporter(error)

        return report
