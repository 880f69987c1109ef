# SPDX-License-Identifier: Apache-2.0
"""By what name a controller holds its lease, so that one that was killed leads again as soon as it is started.

Promises that no two processes that live have one name: whoever takes over a name holds the
lock of the file that keeps it, which the kernel takes from a process only with its life. The
tricky thing is a file that was copied along with its host: a name is good until the host boots.
"""

import contextlib
import fcntl
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from buoy.model.errors import InvalidInput

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def identity(file: str) -> Iterator[str]:
    """Give the name kept in a file, or a new one to keep there; one of this process alone if another has it, or "".

    Raises `InvalidInput` for a file that cannot be kept.
    """
    fresh = f"{socket.gethostname()}_{os.getpid()}_{random.getrandbits(32):08x}"
    if not file:
        yield fresh
        return
    with _opened(Path(file)) as kept:
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # it lives, or hangs: its lease is its own
            yield fresh
            return
        yield _kept(kept, fresh)


def _opened(file: Path) -> TextIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        remedy = f"name a file that this process can write ({error.strerror}), or none"
        raise InvalidInput("--identity-file", str(file), remedy) from error


def _kept(file: TextIO, fresh: str) -> str:
    boot = _BOOT.read_text(encoding="ascii").strip()
    file.seek(0)
    before, _, booted = file.read().strip().partition(" ")
    if before and booted == boot:
        return before
    file.truncate(0)
    file.write(f"{fresh} {boot}\n")
    file.flush()
    return fresh
