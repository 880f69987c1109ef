# SPDX-License-Identifier: Apache-2.0
"""A module run in network, mount and process namespaces of its own, which end with it: nothing has to be cleaned up.

`/run/netns` is private there too, so namespaces made with `ip netns add` go the same way, and so do
its temporary files. However often Ctrl-C is pressed, none of its servers stays.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.report import ROOT
from buoy.lab.launch import undisturbed

_MOUNT = "mount -t tmpfs none /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs none /run/netns; }; "
_UNSHARE = "unshare --net --mount --propagation private --pid --mount-proc --fork --kill-child"


def apart(module: str, *arguments: str) -> Any:  # noqa: ANN401  whatever JSON the module prints
    """Run ``python -m module arguments`` in fresh namespaces; return what it prints last, as JSON.

    Raises `subprocess.CalledProcessError` if it fails.
    """
    inner = ["sh", "-c", f'{_MOUNT}ip link set lo up; exec "$0" "$@"', sys.executable, "-m", module, *arguments]
    room = tempfile.mkdtemp(prefix="buoy-bench-")
    process = subprocess.Popen(
        [*_UNSHARE.split(), *inner], stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "TMPDIR": room}
    )
    try:
        printed, _ = process.communicate()
    finally:
        with undisturbed():
            _end(process)
            shutil.rmtree(room)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(printed.splitlines()[-1])


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the first process of the namespace, whose parent is told of its end when all others have ended."""
    if process.poll() is not None:
        return
    first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    with suppress(ProcessLookupError):
        for child in map(int, first):
            os.kill(child, signal.SIGKILL)
    if not first:
        process.kill()
    process.wait()
