# SPDX-License-Identifier: Apache-2.0
"""One agent per host: the second is refused, and a killed one is in nobody's way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buoy.agent.run import run_agent
from buoy.agent.sole import sole_agent
from buoy.cli.context import exit_code
from buoy.model import ownership
from buoy.model.address import Address
from buoy.model.errors import Conflict
from buoy.runtime.settings import Settings

HOLD = "from buoy.agent.sole import sole_agent; import sys\nwith sole_agent(sys.argv[1]): print(flush=True); input()"


def test_the_second_is_told_who_runs_and_what_to_do(tmp_path: Path) -> None:
    lock = str(tmp_path / "run" / "agent.lock")
    with sole_agent(lock), pytest.raises(Conflict) as refused, sole_agent(lock):
        pass
    for word in (str(os.getpid()), ownership.AGENT_SOCKET, "systemctl stop buoy-agent"):
        assert word in str(refused.value)
    assert 4 == exit_code(refused.value)
    with sole_agent(lock):
        assert f"{os.getpid()}\n" == Path(lock).read_text()


def test_a_killed_agent_is_in_nobodys_way(tmp_path: Path) -> None:
    lock = str(tmp_path / "agent.lock")
    command = [sys.executable, "-c", HOLD, lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(Conflict, match=str(other.pid)), sole_agent(lock):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    with sole_agent(lock):
        assert f"{os.getpid()}\n" == Path(lock).read_text()


async def test_an_agent_that_comes_second_opens_neither_store_nor_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    for name in ("open_any", "open_host"):
        monkeypatch.setattr(f"buoy.agent.run.{name}", never)
    lock = str(tmp_path / "agent.lock")
    monkeypatch.setattr("buoy.agent.run.sole_agent", lambda: sole_agent(lock))
    with sole_agent(lock), pytest.raises(Conflict):
        await run_agent(Settings(node="compute-1", addresses=(Address("192.0.2.1"),)))
