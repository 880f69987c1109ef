# SPDX-License-Identifier: Apache-2.0
"""Passwords that stand in files of this node, such as a mounted Secret's, and in no document.

Promises that what cannot be read is no password, and never an empty one that is taken
for one. They are read anew whenever BIRD's configuration is looked at.
"""

from collections.abc import Callable
from pathlib import Path


def reader(directory: Path) -> Callable[[str], str]:
    """Return what reads the password in a file beneath a directory, "" if there is none; line ends do not count."""

    def read(name: str) -> str:
        try:
            return (directory / name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            # whoever needs it says that it is missing, and where
            return ""

    return read
