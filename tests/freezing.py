# SPDX-License-Identifier: Apache-2.0
"""A process that hangs: it is there, and does nothing."""

import os
import signal
import time
from pathlib import Path

_PATIENCE = 10.0


def freeze(process: int) -> None:
    """Stop a process until `thaw`; return when all its threads have stopped, for which a signal does not wait."""
    os.kill(process, signal.SIGSTOP)
    until = time.monotonic() + _PATIENCE
    while not all(_is_stopped(thread) for thread in Path(f"/proc/{process}/task").iterdir()):
        assert time.monotonic() < until, f"a thread of process {process} does not stop"
        time.sleep(0.001)


def thaw(process: int) -> None:
    """Let it go on."""
    os.kill(process, signal.SIGCONT)


def _is_stopped(thread: Path) -> bool:
    try:
        stat = (thread / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended since it was listed, and may have begun another
        return False
    # proc_pid_stat(5): the state follows the name, which stands in parentheses and may hold spaces
    return stat.rpartition(")")[2].split()[0] == "T"
