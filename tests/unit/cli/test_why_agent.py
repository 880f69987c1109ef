# SPDX-License-Identifier: Apache-2.0
"""`buoy why` where the store cannot be asked: an agent's own words, or that there is no agent."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from buoy.cli import context, why
from buoy.cli.main import app
from buoy.model import ownership
from buoy.model.errors import BuoyError, InvalidInput, StoreUnavailable
from buoy.store.memory import MemoryStore
from tests.unit.planner.cloud import SERVICE


def ask() -> tuple[int, str]:
    """Return the exit code and the words with which the question ends."""
    error = CliRunner().invoke(app, ("why", SERVICE)).exception
    assert isinstance(error, BuoyError)
    return context.exit_code(error), str(error)


async def silent(name: str, **_: object) -> object:
    """Answer as an agent that has just started."""
    raise InvalidInput("agent", name, "this agent has not heard from its store")


def test_an_agents_own_words_are_told_where_the_store_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def away(_: object) -> MemoryStore:
        raise StoreUnavailable("list services: connection refused")

    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", away)
    monkeypatch.setattr(why, "ask", silent)
    monkeypatch.setattr(ownership, "AGENT_SOCKET", str(tmp_path / "agent.sock"))
    assert (3, "list services: connection refused") == ask(), "nobody runs an agent at a desk"
    (tmp_path / "agent.sock").touch()
    expected = "this host's agent: this agent has not heard from its store; asked without it: list services: connection"
    assert (3, f"{expected} refused") == ask()


def test_the_store_answers_for_an_agent_that_is_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", lambda _: MemoryStore())
    monkeypatch.setattr(why, "ask", silent)
    monkeypatch.setattr(ownership, "AGENT_SOCKET", str(tmp_path / "agent.sock"))
    (tmp_path / "agent.sock").touch()
    done = CliRunner().invoke(app, ("why", SERVICE))
    expected = "buoy: this host's agent: this agent has not heard from its store; asked without it\n"
    assert (4, expected) == (done.exit_code, done.stderr)
    assert done.stdout.startswith("✗ ")


def test_an_agent_that_is_missing_is_named_with_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def unnamed(_: object) -> MemoryStore:
        raise InvalidInput("kubeconfig", "admin.kubeconfig", "name a file that is there")

    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", unnamed)
    code, text = ask()
    assert (2, True, True) == (code, "name a file that is there" in text, "no agent listens on this host" in text)
