# SPDX-License-Identifier: Apache-2.0
"""The demo of the Kubernetes world: every claim of its stories holds, and its lab is gone if that is asked for."""

import re
import subprocess
import sys

from buoy.lab.lab import Lab
from tests.e2e.cloud import fresh_name


def test_every_claim_of_the_stories_holds() -> None:
    name = fresh_name("k-demo")
    command = [sys.executable, "-m", "buoy.lab.demo", "kubernetes", "--name", name, "--down"]
    try:
        played = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not Lab(name).is_up()
    finally:
        Lab(name).down()
    assert (0, []) == (played.returncode, re.findall("  ✗ .*", played.stdout)), played.stderr
    assert re.search(r"^\d\d passed, 0 failed$", played.stdout, re.MULTILINE)
