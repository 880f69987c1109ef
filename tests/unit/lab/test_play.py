# SPDX-License-Identifier: Apache-2.0
"""Playing a document: what is shown, what is counted, and when a story ends."""

from collections.abc import Iterable
from subprocess import CompletedProcess
from typing import Any, cast

import pytest

from buoy.lab import play
from buoy.lab.lab import Lab
from buoy.lab.play import Player, StoryEndedError, column


class Scripted:
    """A lab whose machines print, for each command, one prepared output after the other; the last one stays."""

    name = "scripted"

    def __init__(self, *outputs: str, code: int = 0) -> None:
        self._outputs = list(outputs)
        self._code = code
        self.ran: list[tuple[str, ...]] = []

    def _next(self, *command: str) -> CompletedProcess[str]:
        self.ran.append(command)
        output = self._outputs.pop(0) if len(self._outputs) > 1 else self._outputs[0]
        return CompletedProcess(command, self._code, output, "neutron CLI is deprecated\ncomplaint\n")

    def exec(self, machine: str, *command: str, **_: object) -> CompletedProcess[str]:
        return self._next(machine, *command)

    def client(self, *command: str, **_: object) -> CompletedProcess[str]:
        return self._next(*command)

    def status(self) -> dict[str, Any]:
        return {"nodes": [{"name": "access"}, {"name": "compute-1"}]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "PATIENCE", 0.05)
    monkeypatch.setattr(play, "_POLL", 0.01)


def playing(*outputs: str, code: int = 0) -> tuple[Player, list[str]]:
    shown: list[str] = []
    return Player(cast("Lab", Scripted(*outputs, code=code)), shown.append), shown


def counted(player: Player) -> tuple[int, int]:
    return player.passed, player.failed


def test_a_command_is_shown_with_its_output_as_in_a_document() -> None:
    player, shown = playing("default via 192.0.2.1\n")
    assert "default via 192.0.2.1\ncomplaint" == player.run("ip r")
    assert ["\ncore@access$ ip r\ndefault via 192.0.2.1\ncomplaint"] == shown


def test_in_a_guest_the_prompt_is_the_guests() -> None:
    player, shown = playing("10.65.0.5")
    player.run("ip a", on="testvm1")
    assert shown[0].startswith("\ncirros@testvm1$ ip a\n")


@pytest.mark.parametrize("act", ["run", "quiet", "buoy"])
def test_a_command_that_fails_is_counted_and_ends_the_story(act: str) -> None:
    player, shown = playing("no", code=3)
    with pytest.raises(StoryEndedError, match="lab list"):
        getattr(player, act)("lab list")
    assert (0, 1) == counted(player)
    assert "lab list` succeeds" in shown[-1]


def test_what_the_next_command_needs_is_asked_without_showing_it() -> None:
    player, shown = playing("abc\n")
    assert "abc\ncomplaint" == player.quiet("openstack port show")
    assert ([], (0, 0)) == (shown, counted(player))


@pytest.mark.parametrize(
    ("claim", "outputs", "holds"),
    [
        ("expect", ["nothing", "nothing", "10.0.0.1 via 192.0.2.3"], True),
        ("expect", ["nothing", "10.0.0.1 dev eth0"], False),
        ("expect_not", ["10.0.0.1 via 192.0.2.3", "nothing"], True),
        ("expect_not", ["10.0.0.1 via 192.0.2.3"], False),
    ],
)
def test_a_claim_is_asked_again_until_it_is_true_and_shown_once(
    claim: str, outputs: Iterable[str], holds: bool
) -> None:
    player, shown = playing(*outputs)
    getattr(player, claim)("ip r", "^10.0.0.1 via", "it is routed")
    assert ((1, 0) if holds else (0, 1)) == counted(player)
    assert 2 == len(shown)
    assert ("  ✓ it is routed" if holds else "  ✗ it is routed") == shown[-1]


def test_a_claim_that_fails_does_not_end_the_story() -> None:
    player, _ = playing("nothing")
    player.expect("ip r", "^10.0.0.1", "it is routed")
    player.check("something else", holds=True)
    assert (1, 1) == counted(player)


def test_values_are_taken_from_a_clients_table() -> None:
    table = "+----+\n| Field | Value |\n| id    | 7d3c |\n| floating_ip_address | 192.0.2.7 |\n"
    assert ("7d3c", "192.0.2.7") == (column(table, "create", "id"), column(table, "create", "floating_ip_address"))
    with pytest.raises(StoryEndedError, match="create: no status in the answer"):
        column(table, "create", "status")
