# SPDX-License-Identifier: Apache-2.0
"""What `--help`, completion and a mistyped line say, of every command there is."""

import os
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.cli.reference import commands
from buoy.model.errors import BuoyError

EVERY = {" ".join(words[1:]): command for words, command in commands()}
LEAVES = {words: command for words, command in EVERY.items() if not hasattr(command, "list_commands")}
# who changes nothing but by its name, or is run by systemd alone, needs no example
ASKED_WITHOUT_WORDS = {"dhcp run"}


def needed(command: Any) -> list[str]:  # noqa: ANN401  Typer's own
    return [each.name for each in command.params if each.required or each.param_type_name == "argument"]


def complete(line: str) -> list[str]:
    """Return what bash would offer at the end of a line, in a home without labs."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_BUOY_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", "from buoy.cli.main import app; app(prog_name='buoy')"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("words", EVERY)
def test_every_command_says_what_it_does_in_a_sentence(words: str) -> None:
    said = CliRunner().invoke(app, [*words.split(), "--help"]).output
    assert EVERY[words].help.strip().split("\n")[0][-1] in ".:", said


@pytest.mark.parametrize("words", [words for words, command in LEAVES.items() if needed(command)])
def test_every_command_that_needs_words_shows_them_in_an_example(words: str) -> None:
    assert f"      buoy {words} " in EVERY[words].help.replace("\n  buoy", "\n      buoy"), EVERY[words].help


@pytest.mark.parametrize("words", [words for words, command in LEAVES.items() if needed(command)])
def test_every_argument_is_named_in_capitals_and_explained(words: str) -> None:
    for each in LEAVES[words].params:
        if each.param_type_name == "argument":
            assert (each.metavar, bool(each.help)) == (each.metavar.upper(), True)


@pytest.mark.parametrize("words", LEAVES)
def test_no_option_goes_unexplained(words: str) -> None:
    assert [] == [each.name for each in LEAVES[words].params if not each.help and each.name != "help"]


@pytest.mark.parametrize("words", [words for words in LEAVES if words.split()[-1] in {"list", "show", "status"}])
def test_what_prints_rows_prints_json_and_yaml_too(words: str) -> None:
    formats = {name for each in LEAVES[words].params for name in each.opts}
    assert words == "dhcp show" or "--output" in formats


def test_completion_offers_commands_options_and_kinds() -> None:
    assert {"peer", "store", "lab", "why"} <= set(complete("buoy "))
    assert {"account", "auth", "status"} == set(complete("buoy store "))
    assert {"--address", "--asn"} <= set(complete("buoy peer add x --a"))
    assert ["agent", "writer", "reader"] == complete("buoy store account add ")
    assert ["openstack", "kubernetes"] == complete("buoy lab up ")


@pytest.mark.parametrize("line", ["buoy lab node stop ", "buoy lab vm exec ", "buoy lab service kill compute-1 "])
def test_completion_without_a_lab_offers_nothing_and_says_nothing(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUOY_LAB", "there-is-none")
    assert [] == complete(line)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("why 300.1.1.1", 2, "ADDRESS: '300.1.1.1' is not valid: give one IPv4 or IPv6 address"),
        ("node fence ../x", 2, "NODE: '../x' is not valid: use up to 128 letters"),
        ("node unfence ../x", 2, "NODE: '../x' is not valid: use up to 128 letters"),
        (
            "status",
            2,
            "settings: '/nonexistent/agent.toml' is not valid: say where the store is: BUOY_ETCD=http://HOST:2379",
        ),
        ("lab up openstack --without nothing", 2, "--without: 'nothing' is not valid: give one of agent, bird, dhcp"),
        ("lab down --name ../x", 2, "--name: '../x' is not valid: use up to 32 lower-case letters"),
        ("dhcp show ../x", 2, "interface: '../x' is not valid: give the name of an interface"),
    ],
)
def test_what_is_mistyped_is_named_with_its_value_and_the_remedy(
    line: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(context.ENDPOINTS_VARIABLE, raising=False)
    monkeypatch.setenv("BUOY_CONFIG", "/nonexistent/agent.toml")
    error = CliRunner().invoke(app, line.split()).exception
    assert isinstance(error, BuoyError), error
    assert (code, True) == (context.exit_code(error), str(error).startswith(said)), str(error)


def test_who_has_read_enough_ends_the_command_without_a_traceback() -> None:
    closed, write = os.pipe()
    os.close(closed)
    command = [sys.executable, "-m", "buoy.cli.main", "--version"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert "" == done.stderr
