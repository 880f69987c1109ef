# SPDX-License-Identifier: Apache-2.0
"""What is known of a resource's objects: which there are, at which version, which cannot be read.

Promises: after a listing exactly what differs is told, deletions included; an object
that cannot be read is told as broken and leaves its last readable version in force.
The tricky thing: if the server was set back to a backup, equal versions prove
nothing, so then every object is told.
"""

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from buoy.model.errors import StoreUnavailable
from buoy.store.api_names import ObjectName

T = TypeVar("T")


class News(msgspec.Struct, Generic[T], frozen=True):
    """What is new of one resource; `changed` and `broken` hold what is told here for the first time.

    A name in `changed` is broken no more: it holds the object as it is now, or None if it is gone; that
    it was deleted and made anew in between shows in its uid alone. A name in `broken` has a version
    that cannot be read, and why; what was told of it before stays in force. A name in both had a readable
    version first, and then one that is not.
    """

    complete: bool
    """Whether this is everything there is; else it is a difference."""
    changed: Mapping[ObjectName, T | None]
    broken: Mapping[ObjectName, str]
    revision: int
    """The server's resourceVersion; it grows, but for a server set back to a backup. 0: it has no number."""
    listed: bool
    """Whether it comes of a listing, the first or one after the watch was lost."""


class Head(msgspec.Struct):
    """What an object is called, and which of its versions this is."""

    name: ObjectName
    revision: str


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata


_HEAD = msgspec.json.Decoder(_Object)


def head(raw: bytes | msgspec.Raw) -> Head:
    """Return name and version of any object; raise `StoreUnavailable` if it has none: then it is no object."""
    try:
        metadata = _HEAD.decode(raw).metadata
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"the answer holds no object: {error}") from error
    return Head(ObjectName(metadata.namespace, metadata.name), metadata.resource_version)


def number(revision: str) -> int:
    """Return a resourceVersion as a number, 0 if it is none: it need not be, of an aggregated server."""
    return int(revision) if revision.isdecimal() else 0


class Difference(NamedTuple, Generic[T]):
    """See `News`."""

    changed: dict[ObjectName, T | None]
    broken: dict[ObjectName, str]


class Objects(Generic[T]):
    """The objects of one informer; holds their versions, not them."""

    def __init__(self, into: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(into)
        self._seen: dict[ObjectName, str] = {}
        self.newest: ObjectName | None = None
        """The object of the newest version that is known; None if it has been deleted since."""

    def __len__(self) -> int:
        return len(self._seen)

    def version(self, name: ObjectName) -> str:
        """Return the version that was told of an object, "" for none."""
        return self._seen.get(name, "")

    def replace(self, items: Iterable[msgspec.Raw], *, suspect: bool = False) -> Difference[T]:
        """Become exactly this listing; `suspect`: a version may mean another content than before."""
        difference: Difference[T] = Difference({}, {})
        gone = set(self._seen)
        for raw in items:
            told = head(raw)
            gone.discard(told.name)
            if suspect or self._seen.get(told.name) != told.revision:
                self._take(told, raw, difference)
        for name in gone:
            self.forget(name, difference)
        self.newest = max(self._seen, key=lambda name: number(self._seen[name]), default=None)
        return difference

    def take(self, told: Head, raw: msgspec.Raw, difference: Difference[T]) -> None:
        """Take an object that was added or changed, and add it to the difference."""
        self._take(told, raw, difference)
        self.newest = told.name

    def forget(self, name: ObjectName, difference: Difference[T]) -> None:
        """Take it that an object was deleted, and add it to the difference if it was known."""
        if self._seen.pop(name, None) is None:
            return
        if self.newest == name:
            self.newest = None
        difference.changed[name] = None
        difference.broken.pop(name, None)

    def _take(self, told: Head, raw: msgspec.Raw, difference: Difference[T]) -> None:
        self._seen[told.name] = told.revision
        try:
            difference.changed[told.name] = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            difference.broken[told.name] = str(error)
        else:
            difference.broken.pop(told.name, None)
