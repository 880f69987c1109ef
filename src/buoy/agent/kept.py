"""What the agent keeps on disk: which store it last believed, and how far that had come.

The guard holds removals when another or an older store speaks. The file is
replaced atomically; a kill at any instruction leaves the old or the new one.
The tricky thing: a backup is recognised by a revision that went back, so the file
must not lag: `settle` is called every second, and costs no disk's time. And since
a store set back grows past that revision in time, a doubt is kept with it.
"""

import os
from pathlib import Path

import msgspec

from buoy.model import ownership
from buoy.model.snapshot import Identity

FILE = f"{ownership.STATE_DIRECTORY}/store.json"
DRAINING = f"{ownership.STATE_DIRECTORY}/draining"


class _File(msgspec.Struct, frozen=True, omit_defaults=True):
    store: str
    revision: int
    doubt: str = ""


class Kept:
    """The identity on disk, and why another is doubted; `keep` writes only a new store or `stride` revisions more."""

    def __init__(self, path: str = FILE, stride: int = 1000) -> None:
        self._path = Path(path)
        self._stride = stride
        found = self._read()
        self.identity = Identity(found.store, found.revision) if found else None
        self._doubt = found.doubt if found else ""
        self._on_disk = self.identity.revision if self.identity else 0
        self._late = False
        self.problem = ""
        """Why the disk does not take what is to be kept, and what to do; empty if it does."""

    @property
    def doubt(self) -> str:
        """Why the store that spoke last is not believed; empty if it is."""
        return self._doubt

    def keep_doubt(self, cause: str) -> None:
        """Remember a doubt, or that it is over, at once."""
        if cause != self._doubt:
            self._doubt = cause
            self._write(sync=True)

    def _read(self) -> _File | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
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
        self._write(sync=True)

    def settle(self) -> None:
        """Put on disk what `keep` has left in memory."""
        if self._late or (self.identity is not None and self.identity.revision != self._on_disk):
            # a host that loses power loses its routes too: only a killed agent needs this
            self._write(sync=False)

    def _write(self, *, sync: bool) -> None:
        """Write the file; a disk that takes none must not keep the agent from its work, and is tried again."""
        try:
            self._replace(sync=sync)
        except OSError as error:
            self._late = True
            self.problem = f"{self._path}: {error.strerror}; free space on its disk, or make it writable for this agent"
            return
        self._late, self.problem = False, ""
        self._on_disk = self.identity.revision if self.identity else 0

    def _replace(self, *, sync: bool) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            if self.identity is not None:
                file.write(msgspec.json.encode(_File(self.identity.store, self.identity.revision, self._doubt)))
            file.flush()
            if sync:
                os.fsync(file.fileno())
        fresh.replace(self._path)


class Draining:
    """Whether this node is to be left by its traffic: an operator's word, kept until it is taken back."""

    def __init__(self, path: str = DRAINING) -> None:
        self._path = Path(path)

    def __bool__(self) -> bool:
        return self._path.exists()

    def keep(self, draining: bool) -> None:  # noqa: FBT001  the value itself
        """Remember it, also over restarts."""
        if draining:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        else:
            self._path.unlink(missing_ok=True)
