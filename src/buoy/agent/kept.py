"""What the agent keeps on disk: which store it last believed, and how far that had come.

The guard holds removals when another or an older store speaks. The file is
replaced atomically; a kill at any instruction leaves the old or the new one.
"""

import os
from pathlib import Path

import msgspec

from buoy.model import ownership
from buoy.model.snapshot import Identity

FILE = f"{ownership.STATE_DIRECTORY}/store.json"


class Kept:
    """The identity on disk; writes only when the revision has moved on by `stride` or the store changed."""

    def __init__(self, path: str = FILE, stride: int = 1000) -> None:
        self._path = Path(path)
        self._stride = stride
        self.identity = self._read()
        self._on_disk = self.identity.revision if self.identity else 0

    def _read(self) -> Identity | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Identity)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def keep(self, identity: Identity) -> None:
        """Remember an identity that was accepted."""
        before = self.identity
        if before == identity:
            return
        self.identity = identity
        near = before is not None and before.store == identity.store
        if near and 0 <= identity.revision - self._on_disk < self._stride:
            return
        self.write()

    def write(self) -> None:
        """Put the identity on disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(self.identity))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._on_disk = self.identity.revision if self.identity else 0
