# SPDX-License-Identifier: Apache-2.0
"""Which objects are not those they were, though they may say the same.

Promises that whoever believes what it once wrote to an object hears when that may be gone: with the object, which was
deleted and made anew in between, or with a store that was set back to a backup. The tricky thing: both may be told as
an object that has not changed.
"""

from typing import Any

from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News


class Lives:
    """The uids of one resource's objects as they were last heard of."""

    def __init__(self) -> None:
        self._uids: dict[ObjectName, str] = {}

    def renewed(self, news: News[Any]) -> list[ObjectName]:
        """Return which of the objects told were made anew, or come of a listing."""
        found = []
        for name, told in news.changed.items():
            before = self._uids.pop(name, None)
            if told is not None:
                self._uids[name] = told.metadata.uid
                if news.listed or told.metadata.uid != before:
                    found.append(name)
        return found
