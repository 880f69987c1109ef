# SPDX-License-Identifier: Apache-2.0
"""A watch of documents on an API server: informers in, batches out.

Promises the contract of `Store.watch`: nothing before every resource that has a say
has listed, then each difference; an outage is reported and waited out. The tricky
thing is a server that was set back to a backup or is another one: its resources are
listed one after the other, so the first batch with a listing must show it in its
identity, or what was forgotten would be taken for deleted. So after a listing, and
before it is told, the cluster is asked who it is and how far it has come, which is
farther than anything it told before, and for this node's own witness.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from buoy.kubernetes.objects import Namespace, Node
from buoy.kubernetes.resources import (
    BGP_CONFIGURATIONS,
    CALICO,
    CALICO_TWIN,
    KINDS,
    NAMESPACE,
    NAMESPACES,
    NODES,
)
from buoy.kubernetes.structs import FOREIGN, STRUCTS, needed
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import Witness
from buoy.store.api_client import ApiServer, decode
from buoy.store.api_informer import Informer
from buoy.store.api_lease import LEASES, Liveness
from buoy.store.api_listing import page
from buoy.store.api_names import ObjectName, Resource, Selection
from buoy.store.api_objects import News, number
from buoy.store.api_together import together
from buoy.store.api_transport import Request
from buoy.store.store import Reporter, covering

RETRY = 0.5
"""Seconds between attempts to learn which cluster speaks."""

_WITNESSES = next(kind.resource for kind in KINDS if kind.struct is Witness)
_CLUSTER = Selection(fields="metadata.name=kube-system")

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


class Watching:
    """The state of one watch; `batches` is to be iterated once."""

    def __init__(
        self,
        api: ApiServer,
        prefixes: Sequence[str],
        settings: TranslationSettings,
        reporter: Reporter,
        holder: str = "",
    ) -> None:
        self._api = api
        self._holder = holder
        self._reports = Reports(reporter)
        self._liveness = Liveness()
        covered = covering(prefixes)
        self.translation = Translation(settings, lambda path: path.startswith(covered))
        self._resources = needed(covered)
        self._identity = Identity("", 0)
        self._calico = BGP_CONFIGURATIONS.version
        self.node_uids: dict[str, str] = {}
        """The UID of each node in its present life."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the complete listing, then every change, for ever; see `Store.watch`."""
        if not self._resources:
            await self._identify()
            yield self._batch(None, listed=True)
            await asyncio.Event().wait()
        await self._find_versions()
        feed = together([self._informer(resource) for resource in self._resources])
        coming = asyncio.ensure_future(anext(feed))
        first = True
        try:
            while True:
                await asyncio.wait((coming,), timeout=self._liveness.wait())
                news: Mapping[Resource, News[Any]] = {}
                if coming.done():
                    news = coming.result()
                    coming = asyncio.ensure_future(anext(feed))
                batch = await self._hear(news, first=first)
                if batch is not None:
                    first = False
                    yield batch
        finally:
            coming.cancel()
            await asyncio.wait((coming,))
            if isinstance(feed, AsyncGenerator):
                await feed.aclose()

    def _informer(self, resource: Resource) -> Informer[Any]:
        selection = Selection(namespace=NAMESPACE if resource == LEASES else "", optional=resource in FOREIGN)
        reporter = self._reports.of(str(resource))
        if resource == LEASES:
            reporter = self._patient(reporter)
        return Informer(self._api, self._asked(resource), STRUCTS[resource], reporter, selection)

    def _asked(self, resource: Resource) -> Resource:
        """Return the version of a resource that is asked for."""
        return resource._replace(version=self._calico) if resource.group == CALICO else resource

    async def _find_versions(self) -> None:
        """Prefer the version of Calico's kinds that the API server serves itself, whatever becomes of others."""
        if any(resource.group == CALICO for resource in self._resources):
            group = Request("GET", f"/apis/{CALICO}")
            found = await self._answered(lambda: self._api.call(group, f"ask for versions of {CALICO}"))
            served = {each.version for each in decode(found, _Group, CALICO).versions} if found else {CALICO_TWIN}
            self._calico = CALICO_TWIN if CALICO_TWIN in served else BGP_CONFIGURATIONS.version

    def _patient(self, reporter: Reporter) -> Reporter:
        """Let the leases' time begin anew with each outage: what could not be heard proves nobody's death."""

        def report(error: StoreUnavailable | None) -> None:
            self._liveness.interrupted()
            reporter(error)

        return report

    async def _hear(self, news: Mapping[Resource, News[Any]], *, first: bool) -> Batch | None:
        listed = any(each.listed for each in news.values())
        before = dict(self.translation.broken)
        changed: set[str] = set()
        for resource in self._resources:
            if (told := news.get(self._asked(resource))) is not None:
                changed |= self._take(resource, told)
        rewritten = listed and await self._identify()
        if listed:
            changed |= await self._own_witness()
        self._reach(news)
        lapsed = {name.name: False for name in self._liveness.lapse()}
        changed |= self.translation.take_lives(lapsed).keys()
        after = self.translation.broken
        changed |= {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if first:
            return self._batch(None, listed=True)
        return self._batch(frozenset(changed), listed=listed) if changed or rewritten else None

    def _take(self, resource: Resource, news: News[Any]) -> set[str]:
        if resource == LEASES:
            turned = self._liveness.take(news.changed)
            return set(self.translation.take_lives({name.name: self._liveness.alive(name) for name in turned}))
        if resource == NODES:
            self._note_nodes(news.changed)
        return set(self.translation.take(resource, news.changed, news.broken))

    def _note_nodes(self, changed: Mapping[ObjectName, Node | None]) -> None:
        for name, node in changed.items():
            if node is None:
                self.node_uids.pop(name.name, None)
            else:
                self.node_uids[name.name] = node.metadata.uid

    async def _identify(self) -> bool:
        """Ask which cluster this is and how far it has come; tell whether it is another or an older one."""
        items, revision = await self._answered(self._cluster_now)
        store = f"kubernetes:{items}"
        rewritten = bool(self._identity.store) and (store != self._identity.store or revision < self._identity.revision)
        self._identity = Identity(store, revision)
        return rewritten

    async def _cluster_now(self) -> tuple[str, int]:
        found = await page(self._api.call, NAMESPACES, _CLUSTER, limit=1)
        if found is None or not found.items:
            raise StoreUnavailable("list namespaces: there is no kube-system, by whose UID a cluster is known")
        return decode(found.items[0], Namespace, "namespace kube-system").metadata.uid, number(found.revision)

    async def _own_witness(self) -> set[str]:
        if not self._holder or _WITNESSES not in self._resources:
            return set()
        name = ObjectName("", self._holder)
        found = await self._answered(lambda: self._api.get(_WITNESSES.at(name), STRUCTS[_WITNESSES]))
        return set(self.translation.take(_WITNESSES, {name: found}))

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return an answer, however long the server is away."""
        report = self._reports.of("identity")
        while True:
            try:
                answer = await ask()
            except BuoyError as error:
                report(error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error)))
                await asyncio.sleep(RETRY * (1 + self._api.jitter()))
                continue
            report(None)
            return answer

    def _reach(self, news: Mapping[Resource, News[Any]]) -> None:
        # leases may stand in an etcd of their own, which counts for itself
        told = (each.revision for resource, each in news.items() if resource != LEASES)
        revision = max(told, default=0)
        if revision > self._identity.revision:
            self._identity = Identity(self._identity.store, revision)

    def _batch(self, changed: frozenset[str] | None, *, listed: bool) -> Batch:
        held = self.translation
        return Batch(Snapshot(self._identity, held.documents, held.revisions, held.broken), changed, listed)
