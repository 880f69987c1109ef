# SPDX-License-Identifier: Apache-2.0
"""Which of two tellings of an object is the newer: what our own write was answered, or what the watch says.

Promises that what we wrote is never forgotten for an older telling that arrives after
it, and is no news where the watch was faster than the answer. The tricky thing is a
server that was set back to a backup: there the older is the truth, and what we wrote
before counts no more.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News, number

T = TypeVar("T")


class Versions(Generic[T]):
    """The versions in which we wrote objects of one resource, until the watch has come as far; `version` reads one."""

    def __init__(self, version: Callable[[T], str]) -> None:
        self._version = version
        self._written: dict[ObjectName, int] = {}
        self._reached = 0

    def wrote(self, name: ObjectName, version: str) -> bool:
        """Hear the version that a write of ours was answered with; tell whether the watch has not come as far."""
        if 0 < number(version) <= self._reached:
            # it has told what was written, and what became of it since: a change, a deletion
            return False
        self._written[name] = number(version)
        return True

    def news(self, news: News[T]) -> dict[ObjectName, T | None]:
        """Return what of the news is not older than what we wrote."""
        if news.listed and news.revision < self._reached:
            self._written.clear()
        elif news.listed:
            # a listing shows what was written until then; if it shows something older, the store was set back to it
            self._written = {name: at for name, at in self._written.items() if at > news.revision}
        self._reached = news.revision or self._reached
        return {
            name: found
            for name, found in news.changed.items()
            if self._is_news(name, None if found is None else self._version(found))
        }

    def _is_news(self, name: ObjectName, version: str | None) -> bool:
        written = self._written.get(name)
        if written is not None and version is not None and number(version) < written:
            return False
        self._written.pop(name, None)
        return True
