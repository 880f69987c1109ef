# SPDX-License-Identifier: Apache-2.0
"""Tells whoever wrote a foreign object what of it is in force: a condition in its status.

Promises that a field which is read and not honoured is never silent: ``kubectl get``
shows that something is not in force, ``kubectl describe`` what and why. One process
of the cluster does this, the controller that leads. The tricky thing is a status
that others write too: theirs is kept, and a write that lost against one is done anew.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from buoy.kubernetes.feed import Feed
from buoy.kubernetes.layers import Source
from buoy.kubernetes.structs import needed
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.errors import BuoyError, Conflict, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource
from buoy.store.store import Reporter

IN_FORCE = "buoy.dev/InForce"
"""The condition's type: whether all that an object says is in force."""

RETRY = 5.0
"""Seconds after which a write that failed is tried again."""

_PREFIXES = ("settings/", "peers/", "filters/", "pools/")


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Telling:
    """Keeps the condition of every foreign object true; `run` runs until cancelled."""

    def __init__(
        self,
        api: ApiServer,
        settings: TranslationSettings,
        reporter: Reporter = lambda _: None,
        now: Callable[[], str] = _now,
    ) -> None:
        self._api = api
        self._reporter = reporter
        self._now = now
        self._resources = needed(_PREFIXES)
        self._feed = Feed(api, self._resources, reporter)
        self._translation = Translation(settings)
        self._told: dict[Source, tuple[str, str]] = {}
        self._failed = False

    async def run(self) -> None:
        """Hear of objects and write what changes of their conditions, for ever; report an outage and wait it out."""
        async with aclosing(self._feed.news(lambda: RETRY if self._failed else None)) as feed:
            async for news in feed:
                for resource in self._resources:
                    if resource in news:
                        self._translation.take(resource, news[resource].changed, news[resource].broken)
                await self._tell()

    async def _tell(self) -> None:
        self._failed = False
        notices, unread = self._translation.notices, self._translation.unread
        foreign = self._translation.foreign
        for source in self._told.keys() - foreign.keys():
            del self._told[source]
        for source, (resource, found) in foreign.items():
            status, reason, message = verdict(unread.get(source, ""), notices.get(str(source), ()))
            if self._told.get(source) == (found.metadata.resource_version, message):
                continue
            ours = current(found.status.conditions)
            if (ours.get("status"), ours.get("reason"), ours.get("message", "")) != (status, reason, message):
                since = ours["lastTransitionTime"] if ours.get("status") == status else self._now()
                said = {"type": IN_FORCE, "status": status, "reason": reason, "message": message}
                if not await self._write(resource, found, {**said, "lastTransitionTime": since}):
                    continue
            self._told[source] = found.metadata.resource_version, message

    async def _write(self, resource: Resource, found: Any, ours: Mapping[str, str]) -> bool:  # noqa: ANN401
        """Tell whether there is nothing more to do about it."""
        others = [each for each in found.status.conditions or () if each.get("type") != IN_FORCE]
        body = {
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "status": {"conditions": [*others, ours]},
        }
        name = ObjectName(found.metadata.namespace, found.metadata.name)
        try:
            # None: this kind has no status here; then nobody can be told in it
            await self._api.patch(self._feed.at(resource).at(name, "status"), body, msgspec.Raw)
        except Conflict:
            # whoever was faster is about to be heard
            return False
        except BuoyError as error:
            self._failed = True
            self._reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"condition: {error}"))
            return False
        return True


def verdict(unread: str, notices: Sequence[str]) -> tuple[str, str, str]:
    """Return status, reason and message of the condition of an object."""
    if unread:
        return "False", "NotInForce", unread
    if notices:
        return "False", "PartlyInForce", "; ".join(notices)
    return "True", "InForce", ""


def current(conditions: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any]:
    """Return our condition among others, an empty one if there is none."""
    return next((each for each in conditions or () if each.get("type") == IN_FORCE), {})
