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
from io import FileIO
from pathlib import Path

from buoy.model.errors import InvalidInput

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LONGEST = 4096


@contextlib.contextmanager
def identity(file: str) -> Iterator[str]:
    """Give the name kept in a file, or a new one to keep there; one of this process alone if another has it, or "".

    Raises `InvalidInput` for a file that cannot be kept.
    """
    fresh = f"{socket.gethostname()}_{os.getpid()}_{random.getrandbits(32):08x}"
    if not file:
        yield fresh
        return
    try:
        kept = _opened(Path(file))
    except OSError as error:
        raise _unfit(file, error) from error
    with kept:
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name = _kept(kept, fresh)
        except BlockingIOError:
            # it lives, or hangs: its lease is its own
            name = fresh
        except OSError as error:
            raise _unfit(file, error) from error
        yield name


def _opened(file: Path) -> FileIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    # without a buffer: what a full disk refused must not be tried again when the file is closed
    return file.open("a+b", buffering=0)


def _kept(file: FileIO, fresh: str) -> str:
    boot = _BOOT.read_text(encoding="ascii").strip()
    file.seek(0)
    before, _, booted = file.read(_LONGEST).decode(errors="replace").strip().partition(" ")
    if before and booted == boot:
        return before
    file.truncate(0)
    file.write(f"{fresh} {boot}\n".encode())
    return fresh


def _unfit(file: str, error: OSError) -> InvalidInput:
    remedy = f"name a file that this process can write and lock ({error.strerror}), or none"
    return InvalidInput("--identity-file", file, remedy)
