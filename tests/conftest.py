# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: where programs are found, how long a property may think, and how a run is ended.

Promises that a run that is told to end, by Ctrl-C or by SIGTERM, first takes down what its fixtures made:
labs live apart from whoever started them, and would stay.
"""

import os
import signal
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

# Debian keeps ip, nft and bird out of a user's PATH.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

# No deadline: two busy cores make any example slow, and slow is not wrong.
settings.register_profile("buoy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("buoy")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let SIGTERM end the run as Ctrl-C does; by itself it would end it in the middle of things."""
    signal.signal(signal.SIGTERM, _end)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let what is now taken down be taken down: who is impatient has Ctrl-C."""
    _hear_no_more()


def _end(number: int, frame: FrameType | None) -> None:
    _hear_no_more()
    raise KeyboardInterrupt


def _hear_no_more() -> None:
    # not SIG_IGN, which every program that is started from here on would inherit
    signal.signal(signal.SIGTERM, lambda *_: None)
