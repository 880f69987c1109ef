# SPDX-License-Identifier: Apache-2.0
"""One agent per host: two would undo each other's work, and answer each other's questions.

Promises: whoever comes second touches nothing and is told who runs; a kill at any
instruction leaves no obstacle, for the kernel lets go of a lock with its process. The
tricky thing: the file stays when the agent ends, since one that is removed while
another waits for it would be two files.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from buoy.model import ownership
from buoy.model.errors import Conflict


@contextlib.contextmanager
def sole_agent(path: str = ownership.AGENT_LOCK) -> Iterator[None]:
    """Hold this host's lock; raises `Conflict` naming the process that has it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise Conflict(
                f"an agent runs on this host already: process {lock.read().strip()}, which answers on "
                f"{ownership.AGENT_SOCKET}; stop it first: systemctl stop buoy-agent, or kill it"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
