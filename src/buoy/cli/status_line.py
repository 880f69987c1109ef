# SPDX-License-Identifier: Apache-2.0
"""A line of `buoy status`, as each part of it yields them, and what makes it short."""

from collections.abc import Sequence
from typing import NamedTuple

_NAMED = 3

Line = tuple[str, str, str]
"""What it is about, what is the case, and what is wrong with it, if anything."""


class Note(NamedTuple):
    """A line that says something worth knowing, with which nothing is wrong: it fails no script."""

    what: str
    value: str
    note: str


def few(names: Sequence[str]) -> str:
    """Return the first of many names in one line."""
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
