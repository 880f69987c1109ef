# SPDX-License-Identifier: Apache-2.0
"""`buoy why` of an address: who is asked, and what is told where store or agent are silent."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buoy.cli import context, why
from buoy.cli.main import app
from buoy.model import documents, ownership
from buoy.model.address import Address
from buoy.model.errors import BuoyError, InvalidInput, StoreUnavailable
from buoy.model.proxied import Backing, Kind
from buoy.model.service_ip import Mode, Owner, ServiceIP
from buoy.store.memory import MemoryStore
from buoy.store.store import Write
from tests.unit.planner.cloud import SERVICE


def ask() -> tuple[int, str]:
    """Return the exit code and the words with which the question ends."""
    error = CliRunner().invoke(app, ("why", SERVICE)).exception
    assert isinstance(error, BuoyError)
    return context.exit_code(error), str(error)


async def silent(name: str, **_: object) -> object:
    """Answer as an agent that has just started."""
    raise InvalidInput("agent", name, "this agent has not heard from its store")


async def content(_: str, **__: object) -> object:
    """Answer as an agent that finds all well."""
    return [{"topic": "node", "text": "served here", "ok": True, "reason": ""}]


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


@pytest.mark.parametrize("agent", [silent, content])
def test_services_that_get_the_traffic_of_an_address_of_others_are_told_whoever_answers(
    monkeypatch: pytest.MonkeyPatch, agent: object
) -> None:
    backings = (Backing(service="shop/web", kind=Kind.EXTERNAL),)
    owners = (Owner(kind="Service", namespace="shop", name="own"),)
    claim = ServiceIP(address=Address(SERVICE), mode=Mode.PROXIED, owners=owners, backings=backings)
    store = MemoryStore()
    asyncio.run(store.write([Write(documents.path(claim), claim)]))
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", lambda _: store)
    monkeypatch.setattr(why, "ask", agent)
    done = CliRunner().invoke(app, ("why", SERVICE))
    last = "✗ strangers     its traffic goes to shop/web, too, which it was not given to"
    assert (1, f"{last}: take it out of its spec.externalIPs") == (done.exit_code, done.stdout.splitlines()[-1])


def test_an_agent_that_is_missing_is_named_with_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def unnamed(_: object) -> MemoryStore:
        raise InvalidInput("kubeconfig", "admin.kubeconfig", "name a file that is there")

    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    monkeypatch.setattr(context, "open_any", unnamed)
    code, text = ask()
    assert (2, True, True) == (code, "name a file that is there" in text, "no agent listens on this host" in text)
