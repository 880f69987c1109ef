# SPDX-License-Identifier: Apache-2.0
"""A bench that is interrupted takes its servers and its files with it, however impatient whoever interrupts it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.cloud import eventually

ROOT = Path(__file__).parents[2]


def test_nothing_of_an_interrupted_bench_is_left_after_two_interrupts_at_once(tmp_path: Path) -> None:
    nap = f"3600.{os.getpid()}"
    napping = f"import pathlib, subprocess, tempfile; tempfile.mkdtemp(); subprocess.run(['sleep', '{nap}'])"
    # who runs the tests in the background of a script has SIGINT ignored, and so would this run
    interruptible = ["env", "--default-signal=INT", f"TMPDIR={tmp_path}"]
    run = subprocess.Popen(
        [*interruptible, sys.executable, "-c", f"from bench.apart import apart; apart('timeit', {napping!r})"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually(lambda: _sleeping(nap), seconds=30)
    for _ in range(2):
        os.killpg(run.pid, signal.SIGINT)
    run.wait(30)
    assert not _sleeping(nap)
    assert [] == list(tmp_path.iterdir())


def _sleeping(nap: str) -> bool:
    """Tell whether a ``sleep`` of that length runs anywhere on this machine."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes() == f"sleep\0{nap}\0".encode():
                return True
        except OSError:
            continue
    return False
