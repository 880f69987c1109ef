# SPDX-License-Identifier: Apache-2.0
"""A watch of documents on an API server: informers in, batches out.

Promises the contract of `Store.watch`: nothing before every resource that has a say
has listed, then each difference; an outage is reported and waited out. The tricky
thing is a server that was set back to a backup or is another one: its resources are
listed one after the other, and who doubts the store by the first of them would have
no doubts left at the next, or take what was forgotten for deleted. So after a listing,
and before it is told, the cluster is asked who it is and how far it has come, which is
farther than anything it told before, and for this node's own witness. If that proves
that it was set back, everything is listed anew and told at once, with the proof.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from buoy.kubernetes.feed import Feed
from buoy.kubernetes.objects import Namespace, Node
from buoy.kubernetes.resources import KINDS, NAMESPACES, NODES
from buoy.kubernetes.structs import STRUCTS, needed
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model import documents
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
        self._witness: Mapping[ObjectName, Any] = {}
        self._proof: Identity | None = None
        """How far the server had come when it was found to be set back, until everything was listed again."""
        self._names: defaultdict[Resource, set[ObjectName]] = defaultdict(set)
        self.node_uids: dict[str, str] = {}
        """The UID of each node in its present life."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the complete listing, then every change, for ever; see `Store.watch`."""
        if not self._resources:
            await self._is_set_back()
            yield self._batch(None, listed=True)
            await asyncio.Event().wait()
        first = True
        while True:
            async with aclosing(self._feed.news(self.liveness.wait)) as feed:
                async for news in feed:
                    # asked first: from the first change of a document to the batch that tells it nothing may be awaited
                    if any(each.listed for each in news.values()) and await self._is_set_back():
                        break
                    batch = self._hear(news, first=first)
                    if batch is not None:
                        first = False
                        yield batch

    async def _is_set_back(self) -> bool:
        """Ask which cluster this is and how far it has come; tell whether that proves it another, or an older one."""
        before = self._identity
        self._identity = await self._feed.answered(self._cluster_now)
        self._witness = await self._own_witness()
        if self._proof is not None or not before.store:
            return False
        is_another = self._identity.store != before.store
        if is_another or self._identity.revision < before.revision or self._is_witness_older():
            self._proof = self._identity
        return self._proof is not None

    def _is_witness_older(self) -> bool:
        stands = (number(found.metadata.resource_version) for found in self._witness.values() if found is not None)
        told = self.translation.revisions.get(documents.path(Witness(node=self._holder)), 0)
        return bool(self._witness) and max(stands, default=0) < told

    def _hear(self, news: Mapping[Resource, News[Any]], *, first: bool) -> Batch | None:
        listed = any(each.listed for each in news.values())
        before = dict(self.translation.broken)
        changed: set[str] = set()
        for resource in self._resources:
            if (told := news.get(resource)) is not None:
                changed |= self._take(resource, told)
        if listed:
            changed |= self.translation.take(_WITNESSES, self._witness).keys()
        self._reach(news)
        lapsed = {name.name: False for name in self.liveness.lapse()}
        changed |= self.translation.take_lives(lapsed).keys()
        after = self.translation.broken
        changed |= {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        if first:
            return self._batch(None, listed=True)
        proof = self._proof if listed else None
        if listed:
            self._proof = None
        return self._batch(frozenset(changed), listed=listed, proof=proof) if changed or proof else None

    def _take(self, resource: Resource, news: News[Any]) -> set[str]:
        changed = self._differences(resource, news)
        if resource == LEASES:
            turned = self._lives(changed)
            return set(self.translation.take_lives({name.name: self.liveness.alive(name) for name in turned}))
        if resource == NODES:
            self._note_nodes(changed)
        return set(self.translation.take(resource, changed, news.broken))

    def _differences(self, resource: Resource, news: News[Any]) -> Mapping[ObjectName, Any]:
        """Return what is new of a resource: where it was listed anew, also what is there no more."""
        names = self._names[resource]
        gone = names - news.changed.keys() - news.broken.keys() if news.complete else set()
        changed = {**dict.fromkeys(gone), **news.changed}
        names.update(news.broken)
        for name, found in changed.items():
            (names.discard if found is None else names.add)(name)
        return changed

    def _lives(self, changed: Mapping[ObjectName, Lease | None]) -> frozenset[ObjectName]:
        # an agent acts by who lives; whoever else looks, tells it to people
        return self.liveness.take(changed) if self._holder else self.liveness.glance(changed, self._api.date)

    def _note_nodes(self, changed: Mapping[ObjectName, Node | None]) -> None:
        for name, node in changed.items():
            if node is None:
                self.node_uids.pop(name.name, None)
            else:
                self.node_uids[name.name] = node.metadata.uid

    async def _cluster_now(self) -> Identity:
        found = await page(self._api.call, NAMESPACES, _CLUSTER, limit=1)
        if found is None or not found.items:
            raise StoreUnavailable("list namespaces: there is no kube-system, by whose UID a cluster is known")
        uid = decode(found.items[0], Namespace, "namespace kube-system").metadata.uid
        return Identity(f"kubernetes:{uid}", number(found.revision))

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

    def _batch(self, changed: frozenset[str] | None, *, listed: bool, proof: Identity | None = None) -> Batch:
        held = self.translation
        identity = proof or self._identity
        return Batch(Snapshot(identity, held.documents, held.revisions, held.broken), changed, listed)
