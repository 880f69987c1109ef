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
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from buoy.kubernetes.feed import Feed
from buoy.kubernetes.objects import Namespace, Node
from buoy.kubernetes.resources import KINDS, NAMESPACES, NODES
from buoy.kubernetes.structs import STRUCTS, needed
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.errors import StoreUnavailable
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import Witness
from buoy.store.api_client import ApiServer, decode
from buoy.store.api_lease import LEASES, Lease, Liveness
from buoy.store.api_listing import page
from buoy.store.api_names import ObjectName, Resource, Selection
from buoy.store.api_objects import News, number
from buoy.store.store import Reporter, covering

_WITNESSES = next(kind.resource for kind in KINDS if kind.struct is Witness)
_CLUSTER = Selection(fields="metadata.name=kube-system")


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
        self.liveness = Liveness()
        """Which agents live."""
        covered = covering(prefixes)
        as_node = msgspec.structs.replace(settings, node=holder)
        self.translation = Translation(as_node, lambda path: path.startswith(covered))
        self._resources = needed(covered, holder)
        self._feed = Feed(api, self._resources, reporter, self.liveness.interrupted, holder)
        self._identity = Identity("", 0)
        self.node_uids: dict[str, str] = {}
        """The UID of each node in its present life."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the complete listing, then every change, for ever; see `Store.watch`."""
        if not self._resources:
            await self._identify()
            yield self._batch(None, listed=True)
            await asyncio.Event().wait()
        first = True
        async with aclosing(self._feed.news(self.liveness.wait)) as feed:
            async for news in feed:
                batch = await self._hear(news, first=first)
                if batch is not None:
                    first = False
                    yield batch

    async def _hear(self, news: Mapping[Resource, News[Any]], *, first: bool) -> Batch | None:
        listed = any(each.listed for each in news.values())
        # asked first: from the first change of a document to the batch that tells it nothing may be awaited
        rewritten = listed and await self._identify()
        witness = await self._own_witness() if listed else {}
        before = dict(self.translation.broken)
        changed: set[str] = set()
        for resource in self._resources:
            if (told := news.get(resource)) is not None:
                changed |= self._take(resource, told)
        changed |= self.translation.take(_WITNESSES, witness).keys()
        self._reach(news)
        lapsed = {name.name: False for name in self.liveness.lapse()}
        changed |= self.translation.take_lives(lapsed).keys()
        after = self.translation.broken
        changed |= {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if first:
            return self._batch(None, listed=True)
        return self._batch(frozenset(changed), listed=listed) if changed or rewritten else None

    def _take(self, resource: Resource, news: News[Any]) -> set[str]:
        if resource == LEASES:
            turned = self._lives(news.changed)
            return set(self.translation.take_lives({name.name: self.liveness.alive(name) for name in turned}))
        if resource == NODES:
            self._note_nodes(news.changed)
        return set(self.translation.take(resource, news.changed, news.broken))

    def _lives(self, changed: Mapping[ObjectName, Lease | None]) -> frozenset[ObjectName]:
        # an agent acts by who lives; whoever else looks, tells it to people
        return self.liveness.take(changed) if self._holder else self.liveness.glance(changed, self._api.date)

    def _note_nodes(self, changed: Mapping[ObjectName, Node | None]) -> None:
        for name, node in changed.items():
            if node is None:
                self.node_uids.pop(name.name, None)
            else:
                self.node_uids[name.name] = node.metadata.uid

    async def _identify(self) -> bool:
        """Ask which cluster this is and how far it has come; tell whether it is another or an older one."""
        uid, revision = await self._feed.answered(self._cluster_now)
        store = f"kubernetes:{uid}"
        rewritten = bool(self._identity.store) and (store != self._identity.store or revision < self._identity.revision)
        self._identity = Identity(store, revision)
        return rewritten

    async def _cluster_now(self) -> tuple[str, int]:
        found = await page(self._api.call, NAMESPACES, _CLUSTER, limit=1)
        if found is None or not found.items:
            raise StoreUnavailable("list namespaces: there is no kube-system, by whose UID a cluster is known")
        return decode(found.items[0], Namespace, "namespace kube-system").metadata.uid, number(found.revision)

    async def _own_witness(self) -> Mapping[ObjectName, Any]:
        """Ask for this node's own witness, which is heard of like any object; nothing if nobody wants to know."""
        if not self._holder or _WITNESSES not in self._resources:
            return {}
        name = ObjectName("", self._holder)
        return {name: await self._feed.answered(lambda: self._api.get(_WITNESSES.at(name), STRUCTS[_WITNESSES]))}

    def _reach(self, news: Mapping[Resource, News[Any]]) -> None:
        # leases may stand in an etcd of their own, which counts for itself
        told = (each.revision for resource, each in news.items() if resource != LEASES)
        revision = max(told, default=0)
        if revision > self._identity.revision:
            self._identity = Identity(self._identity.store, revision)

    def _batch(self, changed: frozenset[str] | None, *, listed: bool) -> Batch:
        held = self.translation
        return Batch(Snapshot(self._identity, held.documents, held.revisions, held.broken), changed, listed)
