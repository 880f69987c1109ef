# SPDX-License-Identifier: Apache-2.0
"""What `buoy agent` says once the agent has done it."""

import pytest
from typer.testing import CliRunner

from buoy.cli import agent
from buoy.cli.main import app


@pytest.mark.parametrize(
    ("cause", "expected"),
    [("store b speaks", "removals go on; they were held: store b speaks\n"), ("", "no removals were held\n")],
)
def test_who_lets_go_is_told_whether_anything_was_held(
    monkeypatch: pytest.MonkeyPatch, cause: str, expected: str
) -> None:
    async def released(_: str) -> str:
        return cause

    monkeypatch.setattr(agent, "ask", released)
    done = CliRunner().invoke(app, ["agent", "release-guard"])
    assert (0, expected) == (done.exit_code, done.output)
