# SPDX-License-Identifier: Apache-2.0
"""Kubernetes as a store: the documents of a cluster, read from all its objects, and written as Buoy's own.

Promises the contract of `store.Store`, but for what an API server does not have:
several writes are done one by one, at once, so some may happen and others not; each
that did not is decided anew by who wanted it, as all of ours do. What Services and
other objects of Kubernetes say is read only: it is changed with `kubectl`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from buoy.kubernetes import own
from buoy.kubernetes.leases import KubernetesLeases
from buoy.kubernetes.resources import kind_at, object_name
from buoy.kubernetes.translate import TranslationSettings
from buoy.kubernetes.watching import Watching
from buoy.kubernetes.writing import write
from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.model.snapshot import Batch
from buoy.store.api_client import ApiServer
from buoy.store.api_config import find
from buoy.store.api_objects import number
from buoy.store.settings import IN_CLUSTER
from buoy.store.store import Leases, Reporter, Stored, Write, check_writes


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are in the cluster, and what no object says."""

    kubeconfig: str = ""
    """A kubeconfig file, `IN_CLUSTER`, or "" for what kubectl would take."""
    context: str = ""
    """A context of it, "" for its current one."""
    node: str = ""
    """The node this process speaks for: an agent's; "" for others."""
    translation: TranslationSettings = TranslationSettings()


def open_kubernetes(settings: KubernetesSettings, reporter: Reporter = lambda _: None) -> "KubernetesStore":
    """Return the store of a cluster, not yet connected; raise `InvalidInput` for settings that cannot work."""
    file = "" if settings.kubeconfig == IN_CLUSTER else settings.kubeconfig
    return KubernetesStore(ApiServer(find(file, settings.context), random.random), settings, reporter)


class KubernetesStore:
    """The documents of one cluster; belongs to one event loop."""

    def __init__(
        self,
        api: ApiServer,
        settings: KubernetesSettings = KubernetesSettings(),  # noqa: B008  frozen
        reporter: Reporter = lambda _: None,
    ) -> None:
        self.api = api
        self._settings = settings
        self._reporter = reporter
        self._watches: list[Watching] = []
        self._own_leases = KubernetesLeases(api, settings.node, self._interrupted)
        self.leases: Leases = self._own_leases

    async def read(self, path: str) -> Stored:
        """See `Store.read`; what Services and nodes say is in no object of Buoy's, and only `watch` tells it."""
        kind = kind_at(path)
        found: Any = await self.api.get(kind.resource.at(object_name(path)), own.STRUCTS[kind.resource])
        if found is None:
            return Stored(None, 0)
        return Stored(own.decode(kind, found), number(found.metadata.resource_version))

    async def write(self, writes: Sequence[Write], lease: int | None = None) -> int:
        """Do each write, several at once; return the highest revision that was made, 0 if only deletions were.

        Raises like `Store.write`, of the failures the one that somebody must act on first; writes that are
        not named by it may have happened. Expecting revision 0 makes an object only if there is none.
        """
        check_writes(writes)
        if lease is not None and not self._own_leases.runs(lease):
            raise Conflict(f"lease {lease} is not the one last granted")
        done = await asyncio.gather(*(self._write(each) for each in writes), return_exceptions=True)
        failures = [each for each in done if isinstance(each, BaseException)]
        if failures:
            raise min(failures, key=_urgency)
        return max((each for each in done if isinstance(each, int)), default=0)

    async def watch(self, prefixes: Sequence[str]) -> AsyncGenerator[Batch, None]:
        """See `Store.watch`; one change of an object is one batch, or several together if they came so."""
        settings = self._settings
        watching = Watching(self.api, prefixes, settings.translation, self._reporter, settings.node)
        self._watches.append(watching)
        try:
            async with aclosing(watching.batches()) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self._watches.remove(watching)

    @property
    def notices(self) -> Mapping[str, tuple[str, ...]]:
        """What of foreign objects is read and not in force, by object, as the running watches know it."""
        return {object_: told for each in self._watches for object_, told in each.translation.notices.items()}

    async def close(self) -> None:
        """See `Store.close`."""
        await self.api.close()

    def _interrupted(self) -> None:
        for watching in self._watches:
            watching.liveness.interrupted()

    async def _write(self, wish: Write) -> int:
        return await write(self.api, wish, likely=self._likely(wish.path), owner=self._owner(wish.path))

    def _owner(self, path: str) -> dict[str, str] | None:
        """Return the node with which a document goes: what a node said of itself is nothing once it is deleted.

        But for its witness: one that is gone would have the node doubt the store when it is back.
        """
        first, node, *rest = path.split("/")
        if first not in {"nodes", "status"} or rest[:1] == ["witness"]:
            return None
        for watching in self._watches:
            if uid := watching.node_uids.get(node):
                return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}
        return None

    def _likely(self, path: str) -> bool:
        """Tell whether an object stands there, as far as it was heard."""
        return any(path in watching.translation.revisions for watching in self._watches)


def _urgency(error: BaseException) -> int:
    for rank, kind in enumerate((InvalidInput, Conflict, StoreUnavailable), 1):
        if isinstance(error, kind):
            return rank
    return 0
