# SPDX-License-Identifier: Apache-2.0
"""The same lab for a user who is not root: everything but logging in by SSH, which needs a second user id."""

import os
import subprocess
import sys
from pathlib import Path

from buoy.lab.lab import Lab
from tests.lab import traces
from tests.lab.conftest import BARE

NOBODY = 65534
BECOME = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.getuid() == 0 else []
STORY = """
set -e
buoy() { "$PYTHON" -m buoy.cli.main lab "$@"; }
buoy up openstack --name "$NAME" $WITHOUT
buoy exec --name "$NAME" access -- sh -c 'cat /proc/self/uid_map; ping -c1 -W5 compute-2 > /dev/null && echo reached'
buoy node stop compute-2 --name "$NAME"
! buoy exec --name "$NAME" access -- ping -c1 -W1 compute-2 > /dev/null
buoy node start compute-2 --name "$NAME"
buoy exec --name "$NAME" access -- sh -c 'ping -c1 -W5 compute-2 > /dev/null && echo returned'
buoy exec --name "$NAME" access -- birdc -s /run/buoy/bird.ctl show status
buoy exec --name "$NAME" compute-1 -- sh -c 'touch /etc/buoy/x; nft add table inet x && nft list tables'
buoy down --name "$NAME"
"""


def interpreter() -> str:
    """The interpreter of these tests, else the system's: root's own is often closed to others."""
    reachable = subprocess.run([*BECOME, "sh", "-c", '"$0" -c ""', sys.executable], check=False, capture_output=True)
    return sys.executable if reachable.returncode == 0 else "/usr/bin/python3"


def test_a_user_who_is_not_root_gets_a_lab_of_his_own_and_leaves_nothing(name: str) -> None:
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    source = Path(__file__).parents[2] / "src"
    variables = {
        "PATH": os.environ["PATH"], "PYTHON": interpreter(), "PYTHONPATH": f"{source}:{libraries}", "NAME": name,
        "WITHOUT": " ".join(f"--without {service}" for service in BARE), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [*BECOME, "sh", "-c", STORY], env=variables, cwd="/", capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, "" if done.returncode == 0 else done.stderr)
    assert str(os.getuid() or NOBODY) in done.stdout.split()  # who root inside is to the host
    assert "reached" in done.stdout
    assert "returned" in done.stdout
    assert "Daemon is up and running" in done.stdout
    assert "table inet x" in done.stdout
    assert [] == traces.of(name)
    assert not Lab(name).is_up()
