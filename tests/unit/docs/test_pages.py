# SPDX-License-Identifier: Apache-2.0
"""What the pages tell people to follow or to type exists: links, and `buoy` commands with their options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buoy.cli import reference

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = {words: command for words, command in reference.commands() if words}
# Their last argument is another program's command line.
ENDS = {("buoy", "lab", "exec"), ("buoy", "lab", "vm", "exec")}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Yield what a page links to that is not in this tree."""
    text = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        if "://" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield "".join(target)


def typed(page: Path) -> Iterator[str]:
    """Yield every `buoy` command line of a page: after a prompt, and between backticks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    spans = re.findall(r"`((?:\./dev )?buoy [^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    lines = re.findall(r"(?m)^ *\$ (.*)$", text)
    for line in (*spans, *lines):
        for found in re.finditer(r"(?:^|[;(|\"] *|\./dev )(buoy [a-z][^;|)&]*)", line):
            yield found.group(1)


def mistakes(line: str) -> Iterator[str]:
    """Yield what of a command line names no command and no option of ours; go on into what it runs elsewhere."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        # the rest of a quoted text in which this is one of several commands
        words = line.replace('"', "").replace("'", "").split()
    known: tuple[str, ...] = ("buoy",)
    while len(words) > len(known) and (*known, words[len(known)]) in COMMANDS:
        known = (*known, words[len(known)])
    rest = words[len(known) :]
    if known in ENDS and "--" in rest:
        at = rest.index("--")
        rest, inner = rest[:at], rest[at + 1 :]
        if inner[:1] == ["buoy"]:
            yield from mistakes(shlex.join(inner))
    if hasattr(COMMANDS[known], "list_commands") and rest and not rest[0].startswith(("-", "…")):
        yield f"{line}: no command {rest[0]}"
    yield from (f"{line}: no option {word}" for word in rest if word.startswith("-") and word not in options(known))


def options(known: tuple[str, ...]) -> set[str]:
    """Return the options a command knows."""
    command: Any = COMMANDS[known]
    return {"--help", "--", "-", *(name for each in command.params for name in (*each.opts, *each.secondary_opts))}


def identity(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_links_lead_somewhere(page: Path) -> None:
    assert [] == list(broken_links(page))


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_commands_exist_with_their_options(page: Path) -> None:
    assert [] == [mistake for line in typed(page) for mistake in mistakes(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("buoy why 192.0.2.1 -o json", []),
        ("buoy lab exec compute-1 -- buoy why 192.0.2.1", []),
        ("buoy lab exec compute-1 -- ip -6 route", []),
        ("buoy peer ad tor-1", ["buoy peer ad tor-1: no command ad"]),
        ("buoy plan --now", ["buoy plan --now: no option --now"]),
        ("buoy lab exec compute-1 -- buoy plan --now", ["buoy plan --now: no option --now"]),
    ],
)
def test_a_mistake_would_be_seen(line: str, expected: list[str]) -> None:
    assert expected == list(mistakes(line))


def test_a_link_to_nowhere_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md) [e](https://example.com)\n")
    assert ["#three", "gone.md"] == list(broken_links(page))
