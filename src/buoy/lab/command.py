# SPDX-License-Identifier: Apache-2.0
"""Running one command to its end, and entering namespaces; the lab's only way to touch the kernel.

`into` gives the command line that runs another one in a process's namespaces.
"""

import subprocess
from collections.abc import Sequence

from buoy.model.errors import DataplaneError


def run(command: Sequence[str], text: str = "") -> str:
    """Run a command with `text` as input and return its output; raise `DataplaneError` if it fails."""
    done = subprocess.run(list(command), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataplaneError(" ".join(command), done.stderr or f"exit code {done.returncode}")
    return done.stdout


def into(process: int, *namespaces: str) -> list[str]:
    """Return the words that put a command into namespaces (``net``, ``mount``, ``uts``, …) of a process."""
    return ["nsenter", f"--target={process}", *(f"--{namespace}" for namespace in namespaces)]


def ip_batch(lines: Sequence[str], process: int | None = None) -> None:
    """Run lines of the `ip` program as one batch, in the network namespace of a process if one is given."""
    prefix = into(process, "net") if process is not None else []
    run([*prefix, "ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))
