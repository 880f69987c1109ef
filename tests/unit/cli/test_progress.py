# SPDX-License-Identifier: Apache-2.0
"""What a command tells while it takes long."""

import time

import pytest

from buoy.cli.progress import progress


def test_a_quick_command_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", quiet=60):
        pass
    assert capsys.readouterr().err == ""


def test_one_that_takes_long_tells_again_and_again_what_it_is_doing(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""
    with progress("reading", quiet=0.001, again=0.001) as tell:
        while "buoy: reading (" not in said:
            said += capsys.readouterr().err
            time.sleep(0.001)
        tell("planning")
        while "buoy: planning (" not in said:
            said += capsys.readouterr().err
            time.sleep(0.001)
    assert said.index("reading") < said.index("planning")
