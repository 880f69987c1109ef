# SPDX-License-Identifier: Apache-2.0
"""Buoy's next version, made from this one: a later form of every document, a field more in each, a reason of its own.

There is one repository and its history need not be there; what the next version
will really change, nobody knows. So it changes all that a version may change.
"""

import re
import shutil
from pathlib import Path

import buoy

HERE = Path(buoy.__file__).parent
NEXT = "0.2.0"
CHANGES = {
    "__init__.py": [(r'__version__ = ".*"', f'__version__ = "{NEXT}"')],
    "model/reason.py": [(r'"tap-down"', '"tap-asleep"')],
    "model/documents.py": [(r"(?m)^SCHEMA = 1$", "SCHEMA = 2")],
    "model/*.py": [
        # a default from a factory is always written
        (
            r"(?m)^(    schema: int = 1)$",
            r'\1\n    novelty: tuple[str, ...] = msgspec.field(default_factory=lambda: ("of the next version",))',
        ),
    ],
}


def make_next(directory: Path) -> Path:
    """Return a directory to have in PYTHONPATH, with the next version's package in it."""
    made = directory / "next"
    shutil.copytree(HERE, made / "buoy", ignore=shutil.ignore_patterns("__pycache__"))
    for pattern, changes in CHANGES.items():
        counts = [_change(file, *change) for file in (made / "buoy").glob(pattern) for change in changes]
        assert sum(counts), f"there is nothing to change in {pattern}"
    return made


def _change(file: Path, wanted: str, new: str) -> int:
    text, count = re.subn(wanted, new, file.read_text())
    file.write_text(text)
    return count


class Place:
    """What a machine of the lab runs: this version or the next, by a link that is changed between two runs."""

    def __init__(self, directory: Path, machine: str, following: Path) -> None:
        self.path = directory / machine
        self._versions = {"this": HERE.parent, "next": following}
        self.path.symlink_to(HERE.parent)

    def take(self, version: str) -> None:
        """From now on whatever is started here is of that version."""
        self.path.unlink()
        self.path.symlink_to(self._versions[version])
