# SPDX-License-Identifier: Apache-2.0
"""A module run in network and mount namespaces of its own, which end with it: nothing has to be cleaned up.

`/run/netns` is private there too, so namespaces made with `ip netns add` go the same way.
"""

import json
import subprocess
import sys
from typing import Any

from bench.report import ROOT

_MOUNT = "mount -t tmpfs none /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs none /run/netns; }; "


def apart(module: str, *arguments: str) -> Any:  # noqa: ANN401  whatever JSON the module prints
    """Run ``python -m module arguments`` in fresh namespaces; return what it prints last, as JSON."""
    words = ["unshare", "--net", "--mount", "--propagation", "private", "--fork", "--kill-child"]
    inner = ["sh", "-c", f'{_MOUNT}ip link set lo up; exec "$0" "$@"', sys.executable, "-m", module, *arguments]
    done = subprocess.run([*words, *inner], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
    return json.loads(done.stdout.splitlines()[-1])
