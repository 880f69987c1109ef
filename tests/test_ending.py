# SPDX-License-Identifier: Apache-2.0
"""A run of pytest that is told to end takes down what it made, whichever way it is told."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cloud import eventually

ROOT = Path(__file__).parents[1]
RUN = """
import pathlib, time, pytest

@pytest.fixture(scope="module")
def made():
    place = pathlib.Path(__file__).with_name("made")
    place.touch()
    yield place
    place.with_name("ending").touch()
    time.sleep(0.5)
    place.unlink()

def test_of_an_hour(made):
    time.sleep(3600)
"""


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_what_a_fixture_made_is_gone_after_the_run_was_told_to_end_even_impatiently(
    tmp_path: Path, told: signal.Signals
) -> None:
    test = tmp_path / "test_long.py"
    test.write_text(RUN)
    # who runs the tests in the background of a script has SIGINT ignored, and so would this run
    command = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        str(test),
    ]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    eventually((tmp_path / "made").exists, seconds=30)
    run.send_signal(told)
    eventually((tmp_path / "ending").exists)
    run.send_signal(signal.SIGTERM)
    assert pytest.ExitCode.INTERRUPTED == run.wait(30)
    assert not (tmp_path / "made").exists()
