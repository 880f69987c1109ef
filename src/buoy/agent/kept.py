# SPDX-License-Identifier: Apache-2.0
"""What the agent keeps on disk: how far it has heard its store, and what of it is doubted (`belief.py`).

The guard holds removals when another or an older store speaks. The file is
replaced atomically; a kill at any instruction leaves the old or the new one.
The tricky thing: a backup is recognised by what is older than this file says, so the
file must not lag: `settle` is called every second, and costs no disk's time. A doubt
is on disk before anything follows from it: the store itself may not show it twice.
"""

import os
from pathlib import Path
from typing import Self

import msgspec

from buoy.model import ownership
from buoy.model.nodestate import Key, Table
from buoy.model.snapshot import Identity
from buoy.planner.belief import Belief

FILE = f"{ownership.STATE_DIRECTORY}/store.json"
DRAINING = f"{ownership.STATE_DIRECTORY}/draining"


class _Doubtful(msgspec.Struct, frozen=True, array_like=True):
    table: Table
    name: tuple[str, ...]
    owner: str


class _File(msgspec.Struct, frozen=True, omit_defaults=True):
    store: str
    revision: int
    witness: int = 0
    doubt: str = ""
    doubtful: tuple[_Doubtful, ...] | None = None
    boot: str = ""

    @classmethod
    def of(cls, belief: Belief, heard: Identity, boot: str) -> Self:
        """Return what is written of a belief: not who wanted what, which matters only until the next pass."""
        doubtful = None
        if belief.doubtful is not None:
            doubtful = tuple(_Doubtful(key.table, key.name, owner) for key, owner in belief.doubtful.items())
        return cls(heard.store, heard.revision, heard.witness, belief.cause, doubtful, boot)

    @property
    def belief(self) -> Belief:
        """What the agent that wrote this believed."""
        doubtful = None
        if self.doubtful is not None:
            doubtful = {Key(each.table, each.name): each.owner for each in self.doubtful}
        return Belief(Identity(self.store, self.revision, self.witness), self.doubt, doubtful)


def _boot() -> str:
    """Return the kernel's name of this run of the host; see random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Kept:
    """The belief on disk; `keep` writes another store, another doubt and what is doubtful at once, else by `stride`."""

    def __init__(self, path: str = FILE, stride: int = 1000) -> None:
        self._path = Path(path)
        self._stride = stride
        found = self._read()
        self.belief = found.belief if found else Belief()
        self.rebooted = found is not None and found.boot not in {"", _boot()}
        """Whether the host has booted since this node last looked: then it holds nothing of what it said."""
        self._looked_in = found.boot if found and self.rebooted else _boot()
        self._on_disk = self.belief
        self.problem = ""
        """Why the disk does not take what is to be kept, and what to do; empty if it does."""

    @property
    def knows_cause(self) -> bool:
        """Whether the next agent would doubt for the same cause, or for none, as this one does."""
        return self._on_disk.cause == self.belief.cause

    def _read(self) -> _File | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def looked(self) -> None:
        """Hear that this node has looked at all, or takes back what it said: the next agent may rely on what stands."""
        if self.rebooted:
            self.rebooted, self._looked_in = False, _boot()
            # as good as not written: `settle` does it soon
            self._on_disk = Belief()

    def keep(self, belief: Belief) -> None:
        """Remember what is believed now."""
        self.belief = belief
        if not self._is_near(belief):
            self._write(sync=True)

    def _is_near(self, belief: Belief) -> bool:
        """Tell whether the next agent would do no harm for what the disk does not know yet."""
        now, then = belief.heard, self._on_disk.heard
        if now is None or then is None:
            return now is then
        doubt, kept = (belief.cause, belief.unsettled), (self._on_disk.cause, self._on_disk.unsettled)
        same = (now.store, doubt) == (then.store, kept)
        return same and 0 <= now.revision - then.revision < self._stride

    def settle(self) -> None:
        """Put on disk what `keep` has left in memory."""
        if self.belief is not self._on_disk:
            # a host that loses power loses its routes too: only a killed agent needs this
            self._write(sync=False)

    def _write(self, *, sync: bool) -> None:
        """Write the file; a disk that takes none must not keep the agent from its work, and is tried again."""
        try:
            self._replace(sync=sync)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror}; free space on its disk, or make it writable for this agent"
            return
        self._on_disk, self.problem = self.belief, ""

    def _replace(self, *, sync: bool) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            if self.belief.heard is not None:
                file.write(msgspec.json.encode(_File.of(self.belief, self.belief.heard, self._looked_in)))
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
