# SPDX-License-Identifier: Apache-2.0
"""The same labs for a user who is not root: everything but logging in by SSH, which needs a second user id."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buoy.lab import kube_binaries
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

KUBERNETES_STORY = """
set -e
buoy() { "$PYTHON" -m buoy.cli.main lab "$@"; }
buoy up kubernetes --name "$NAME" --nodes 1 --without agent --without buoy --without aggregation --without node-1/bird
eval "$(buoy env --name "$NAME")"
buoy pod run web-1 --node node-1 --labels app=web
kubectl create service clusterip web --tcp=80:8080
address=$(kubectl get service web --output 'jsonpath={.spec.clusterIP}')
buoy exec node-1 -- curl -sS --retry 20 --retry-delay 1 --retry-all-errors -m2 "http://$address/"
buoy down
"""


def interpreter() -> str:
    """The interpreter of these tests, else the system's: root's own is often closed to others."""
    reachable = subprocess.run([*BECOME, "sh", "-c", '"$0" -c ""', sys.executable], check=False, capture_output=True)
    return sys.executable if reachable.returncode == 0 else "/usr/bin/python3"


def played(story: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    source = Path(__file__).parents[2] / "src"
    variables = {
        "PATH": os.environ["PATH"], "PYTHON": interpreter(), "PYTHONPATH": f"{source}:{libraries}",
        "PYTHONDONTWRITEBYTECODE": "1", **variables,
    }  # fmt: skip
    return subprocess.run(
        [*BECOME, "sh", "-c", story], env=variables, cwd="/", capture_output=True, text=True, check=False
    )


def test_a_user_who_is_not_root_gets_a_lab_of_his_own_and_leaves_nothing(name: str) -> None:
    done = played(STORY, NAME=name, WITHOUT=" ".join(f"--without {service}" for service in BARE))
    assert (0, "") == (done.returncode, "" if done.returncode == 0 else done.stderr)
    assert str(os.getuid() or NOBODY) in done.stdout.split()  # who root inside is to the host
    assert "reached" in done.stdout
    assert "returned" in done.stdout
    assert "Daemon is up and running" in done.stdout
    assert "table inet x" in done.stdout
    assert [] == traces.of(name)
    assert not Lab(name).is_up()


@pytest.fixture
def programs() -> Iterator[str]:
    """Kubernetes' programs where everybody finds them: root's own cache is closed to others."""
    found = kube_binaries.provide(print)
    place = Path(tempfile.mkdtemp(prefix="buoy-kube-"))
    place.chmod(0o755)
    for name, program in found.items():
        try:
            os.link(program, place / name)
        except OSError:  # another file system
            shutil.copy(program, place / name)
    yield str(place)
    shutil.rmtree(place)


def test_a_user_who_is_not_root_gets_a_kubernetes_lab_too(name: str, programs: str) -> None:
    done = played(KUBERNETES_STORY, NAME=name, KUBEBUILDER_ASSETS=programs)
    assert (0, "") == (done.returncode, "" if done.returncode == 0 else done.stderr)
    assert "web-1 192.168.8.3" in done.stdout
    assert [] == traces.of(name)
