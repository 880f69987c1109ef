# SPDX-License-Identifier: Apache-2.0
"""Switching a node off and on: as a power cut, and as a boot after it.

Promises that nothing the kernel or /run held outlives the cut, and that /etc and
/var/lib do. The tricky thing: a network namespace lives as long as any process in
it, also one that somebody started with `lab exec`; so all of them are killed, and
the uplink goes first, that nothing of the dying node is heard outside.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from buoy.lab import machine, switch
from buoy.lab.command import into
from buoy.lab.machine import Machine
from buoy.lab.topology import Node
from buoy.model.errors import DataplaneError

_KILL_SECONDS = 5.0
_BOOT_SECONDS = 30.0


def cut_uplink(node: Node) -> None:
    """Take a node off the switch, at once."""
    with contextlib.suppress(DataplaneError):  # a person may have done it before us
        switch.disconnect(node)


def kill(made: Machine) -> None:
    """Kill every process in a machine's namespaces, its holder too; they are collected elsewhere.

    A pod has a network of its own, but its node's IPC namespace.
    """
    namespaces = _namespaces(made.holder)
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := list(_inside(namespaces))) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    if left:
        raise DataplaneError(f"switching {made.name} off", f"processes {left} do not end")


def boot(node: Node, root: Path, console: Path, script: str) -> Machine:
    """Make a node's machine again, with its /etc and /var/lib as they were, an empty /run, and its uplink."""
    machine.empty_run(root)
    made = machine.start(node.name, root, script, console)
    switch.connect(node, made)
    return made


def prepare_for_guests(node: Node, made: Machine, words: list[str], log: Path) -> None:
    """Run what is to be done before a guest may start; raise `DataplaneError` if it fails, for then none may."""
    command = [*into(made.holder, "net", "mount", "uts", "ipc"), *words]
    with log.open("ab") as complaints:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=complaints, stderr=complaints, check=False, cwd="/",
            timeout=_BOOT_SECONDS, env={**os.environ, "TMPDIR": "/run/tmp"},
        )  # fmt: skip
    if done.returncode:
        raise DataplaneError(" ".join(words), f"exit code {done.returncode}: `buoy lab logs {node.name} boot`")


def _namespaces(process: int) -> set[int]:
    return {Path(f"/proc/{process}/ns/{kind}").stat().st_ino for kind in ("net", "ipc")}


def _inside(namespaces: set[int]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        # one that is ending has no namespaces any more
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and _namespaces(int(entry.name)) & namespaces:
                yield int(entry.name)
