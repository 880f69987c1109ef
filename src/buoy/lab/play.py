# SPDX-License-Identifier: Apache-2.0
"""Playing a document: each command is shown with its output, as in the document, and each claim is checked.

What takes a moment to come true is asked again until it is, and shown once, as
it was in the end. A claim that fails is counted and the play goes on; a command
that fails ends the story, because what follows would only repeat it.
"""

import re
import sys
import time
from collections.abc import Callable

from buoy.lab.lab import Lab

PATIENCE = 10.0
"""Seconds a claim has to become true."""

_POLL = 0.1


class StoryEndedError(Exception):
    """A command of the story failed: the rest of the story cannot be played."""


class Player:
    """Plays commands in one lab and counts what was as it should be."""

    def __init__(self, lab: Lab, write: Callable[[str], None] = print) -> None:
        self.lab = lab
        self.passed = 0
        self.failed = 0
        self._write = write

    def say(self, text: str) -> None:
        """Tell what comes."""
        self._write(f"\n# {text}")

    def run(self, command: str, on: str = "access") -> str:
        """Show a shell command and its output on a machine; return its output."""
        output, code = self._shell(on, command)
        self._show(on, command, output)
        if code:
            self.check(f"`{command}` succeeds", holds=False, seen=f"exit code {code}")
            raise StoryEndedError(command)
        return output

    def buoy(self, command: str) -> str:
        """Show a ``buoy`` command of the host and its output; return its output."""
        words = [sys.executable, "-m", "buoy.cli.main", *command.split()]
        done = self.lab.client(*words, timeout=120, check=False)
        self._write(f"\n$ buoy {command}\n{done.stdout}{done.stderr}".rstrip())
        if done.returncode:
            self.check(f"`buoy {command}` succeeds", holds=False, seen=f"exit code {done.returncode}")
            raise StoryEndedError(command)
        return done.stdout

    def expect(self, command: str, pattern: str, claim: str, on: str = "access") -> str:
        """Run a command until its output has a line with `pattern`, show it, count the claim, return the output."""
        return self._await(command, claim, on, lambda output: re.search(pattern, output, re.MULTILINE) is not None)

    def expect_not(self, command: str, pattern: str, claim: str, on: str = "access") -> str:
        """Run a command until its output has no line with `pattern`; else like `expect`."""
        return self._await(command, claim, on, lambda output: re.search(pattern, output, re.MULTILINE) is None)

    def check(self, claim: str, *, holds: bool, seen: str = "") -> None:
        """Count a claim."""
        if holds:
            self.passed += 1
            self._write(f"  ✓ {claim}")
        else:
            self.failed += 1
            self._write(f"  ✗ {claim}" + (f": {seen}" if seen else ""))

    def quiet(self, command: str, on: str = "access") -> str:
        """Run a command without showing it, for what the next command needs; return its output."""
        output, code = self._shell(on, command)
        if code:
            self.check(f"`{command}` succeeds", holds=False, seen=output)
            raise StoryEndedError(command)
        return output.strip()

    def _await(self, command: str, claim: str, on: str, holds: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE
        while True:
            output, _ = self._shell(on, command)
            so = holds(output)
            if so or time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        self._show(on, command, output)
        self.check(claim, holds=so)
        return output

    def _show(self, on: str, command: str, output: str) -> None:
        prompt = "cirros" if on not in _nodes(self.lab) else "core"
        self._write(f"\n{prompt}@{on}$ {command}\n{output}".rstrip())

    def _shell(self, on: str, command: str) -> tuple[str, int]:
        done = self.lab.exec(on, "bash", "-c", command, timeout=60, check=False)
        complaints = [line for line in done.stderr.splitlines() if "neutron CLI is deprecated" not in line]
        return "\n".join([done.stdout.rstrip("\n"), *complaints]).strip("\n"), done.returncode


def _nodes(lab: Lab) -> set[str]:
    return {node["name"] for node in lab.status()["nodes"]}


def column(text: str, line: str, field: str) -> str:
    """Return one value of a client's table ``| Field | Value |``; raise `StoryEndedError` if it is not there."""
    found = re.search(rf"^\|\s*{re.escape(field)}\s*\|\s*(\S+)", text, re.MULTILINE)
    if found is None:
        raise StoryEndedError(f"{line}: no {field} in the answer")
    return found.group(1)
