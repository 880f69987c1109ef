# SPDX-License-Identifier: Apache-2.0
"""Informer: every object of a resource, and then every change, whatever becomes of the connections.

Promises: nothing is lost and nothing is taken as gone that was not told as gone:
after a cut the watch is resumed at the last version, and if that is forgotten (410)
everything is listed and exactly the difference told. An outage is reported and waited out.

The tricky thing is a server that was set back to a backup: asked to resume at a version
it has yet to reach, it is silent. So before a watch is resumed, the server must have
come as far as we have, and the newest object we know must stand in it as we know it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import msgspec

from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_errors import Gone, Throttled, failure, status_of
from buoy.store.api_listing import Listing, listing, page
from buoy.store.api_names import EVERYTHING, Resource, Selection
from buoy.store.api_objects import Difference, News, Objects, head, number
from buoy.store.api_stream import IDLE, WatchStream
from buoy.store.api_transport import Request
from buoy.store.store import Reporter

FIRST_DELAY, LAST_DELAY = 0.1, 5.0
"""Seconds between attempts, half to all of it; the last bounds how late a change is heard after the server's return."""
AT_ONCE = 1.0
"""Seconds within which a watch that ends is no regular end: it would be begun again without end."""
WATCHED = 300
"""Seconds a watch is asked to last, once to twice: so connections spread anew over several servers."""
ABSENT = 3
"""Times in a row a resource with known objects must be unknown to the server before they are gone."""
ABSENT_DELAY = 5.0
"""Seconds after which it is asked again whether a resource has come to be, half to all of it."""
MOST_PATIENCE = 60.0
"""Seconds of patience a server is given at most, and up to as many more."""

T = TypeVar("T")


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)


class Informer(Generic[T]):
    """Follows the selected objects of one resource, decoded to `into`; to be iterated once, by `news`.

    `reporter` is told of each failed attempt, and None once the server answers again.
    """

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        into: type[T],
        reporter: Reporter = lambda _: None,
        selection: Selection = EVERYTHING,
    ) -> None:
        self.resource = resource
        self.at = resource
        """The version it is followed by, which its twin may take the place of."""
        self._twin = selection.twin
        self._api = api
        self._selection = selection
        self._reporter = reporter
        self._objects = Objects(into)
        self._stream: WatchStream | None = None
        self._revision = ""
        self._first = True
        """Whether nothing was told yet."""
        self._listed = False
        """Whether the watch may be begun at `_revision`."""
        self._checked = False
        """Whether the server is known to have come to `_revision`."""
        self._suspect = False
        """Whether the server is one that was set back."""
        self._heard = False
        """Whether the watch told anything since the last listing."""
        self._absent = 0
        self._delay = FIRST_DELAY
        self._began = 0.0
        self._failure: BuoyError | None = None

    async def news(self) -> AsyncIterator[News[T]]:
        """Yield the complete list, then every difference, for ever; never raises for an outage."""
        reported = False
        try:
            while True:
                try:
                    news = await self._step()
                except BuoyError as error:
                    self._drop()
                    self._reporter(error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error)))
                    reported = True
                    await asyncio.sleep(self._pause(error))
                    continue
                if reported and (self._stream is not None or self._absent):
                    reported = False
                    self._reporter(None)
                if news is not None:
                    yield news
        finally:
            self._drop()

    async def _step(self) -> News[T] | None:
        if self._failure is not None:
            failed, self._failure = self._failure, None
            raise failed
        if not self._listed:
            return await self._list()
        if self._stream is None:
            await self._follow()
            return None
        return await self._hear(self._stream)

    async def _list(self) -> News[T] | None:
        if self._absent:
            await asyncio.sleep(self._spread(ABSENT_DELAY))
        found = await listing(self._api.call, self.at, self._selection)
        if found is None and self._twin:
            found = await self._turn()
        if found is None:
            self._miss()
            found = Listing("", [])
        else:
            self._absent = 0
            self._listed = self._checked = True
            self._heard = False
        suspect = self._suspect or 0 < number(found.revision) < number(self._revision)
        difference = self._objects.replace(found.items, suspect=suspect)
        self._revision, self._suspect = found.revision, False
        first, self._first = self._first, False
        if first or difference.changed or difference.broken:
            return News(first, difference.changed, difference.broken, number(self._revision), listed=True)
        return None

    async def _turn(self) -> Listing | None:
        """List the twin of what is not known, and follow that from now on if it is known."""
        twin = self.at._replace(version=self._twin)
        found = await listing(self._api.call, twin, self._selection)
        if found is not None:
            self.at, self._twin = twin, self.at.version
        return found

    def _miss(self) -> None:
        """Note that the server does not know the resource; raise `StoreUnavailable` unless that is an answer."""
        self._absent += 1
        if not self._selection.optional or (len(self._objects) and self._absent < ABSENT):
            raise StoreUnavailable(f"list {self.resource}: the API server does not know it: install its CRD")

    async def _follow(self) -> None:
        if not self._checked and not await self._stands():
            self._listed = False
            return
        asked = f"watch {self.resource}"
        query = {
            **self._selection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._revision,
            "timeoutSeconds": str(int(WATCHED * (1 + self._api.jitter()))),
        }
        try:
            response = await self._api.open(Request("GET", self.at.path(self._selection.namespace), query), asked)
        except Gone as error:
            self._forgotten(error)
            return
        if response is None:
            # what that means a listing tells
            self._listed = False
            raise StoreUnavailable(f"{asked}: the API server does not know it")
        self._stream = WatchStream(response, asked, IDLE)
        self._began = asyncio.get_running_loop().time()
        self._checked = False

    async def _stands(self) -> bool:
        """Tell whether what was told is the history of the server as it is now."""
        mark = self._objects.newest
        selection = self._selection
        if mark is not None:
            fields = f"metadata.name={mark.name}" + (f",{selection.fields}" if selection.fields else "")
            selection = selection._replace(namespace=mark.namespace, fields=fields)
        found = await page(self._api.call, self.at, selection, limit=1)
        if found is None:
            return False
        reached = number(self._revision)
        self._suspect = number(found.revision) < reached
        if mark is not None and not self._suspect:
            # if it is not there, it was deleted meanwhile or never was: that cannot be told apart
            now = head(found.items[0]).revision if found.items else ""
            self._suspect = now != self._objects.version(mark) and number(now) <= reached
        return not self._suspect

    async def _hear(self, stream: WatchStream) -> News[T] | None:
        lines = await stream.lines()
        if not lines:
            self._drop()
            if asyncio.get_running_loop().time() - self._began < AT_ONCE:
                raise StoreUnavailable(f"watch {self.resource}: ended at once")
            return None
        difference: Difference[T] = Difference({}, {})
        try:
            for line in lines:
                self._take(line, difference)
        except BuoyError as error:
            # what was told before it must be told on first
            self._failure = error
        if self._failure is not None or not self._listed:
            self._drop()
        if difference.changed or difference.broken:
            return News(False, difference.changed, difference.broken, number(self._revision), listed=False)
        return None

    def _take(self, line: bytes, difference: Difference[T]) -> None:
        try:
            event = _EVENT.decode(line)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"watch {self.resource}: a line that is no event: {error}") from error
        if event.type == "ERROR":
            self._forgotten(failure(f"watch {self.resource}", status_of(event.object)))
            return
        told = head(event.object)
        if event.type == "DELETED":
            self._objects.forget(told.name, difference)
        elif event.type != "BOOKMARK":
            self._objects.take(told, event.object, difference)
        self._revision = told.revision
        self._heard = True
        self._delay = FIRST_DELAY

    def _forgotten(self, error: BuoyError) -> None:
        self._listed = False
        # a server that forgets at once would be listed without end
        if not self._heard or not isinstance(error, Gone):
            raise error

    def _pause(self, error: BuoyError) -> float:
        delay, self._delay = self._spread(self._delay), min(self._delay * 2, LAST_DELAY)
        if isinstance(error, Throttled):
            return max(delay, min(error.seconds, MOST_PATIENCE) * (1 + self._api.jitter()))
        return delay

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self._api.jitter()) / 2

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
