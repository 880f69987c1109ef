# SPDX-License-Identifier: Apache-2.0
"""The reference pages are what the code says; a page that is behind fails here and is written by the module named."""

from pathlib import Path

import pytest

from buoy.cli import reference
from buoy.model.reason import Reason

DIRECTORY = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_page_is_what_the_code_says(name: str) -> None:
    # to write them anew: python -m buoy.cli.reference
    assert reference.pages()[name] == (DIRECTORY / name).read_text(encoding="utf-8")


def test_every_command_says_what_it_does() -> None:
    assert [] == [" ".join(words) for words, command in reference.commands() if not command.help]


def test_every_option_says_what_it_means() -> None:
    silent = [
        f"{' '.join(words)} {option.name}"
        for words, command in reference.commands()
        for option in command.params
        if not option.help and option.name != "help"
    ]
    assert [] == silent


def test_every_reason_has_its_place_in_troubleshooting() -> None:
    text = (DIRECTORY.parent / "troubleshooting.md").read_text(encoding="utf-8")
    assert [] == [str(reason) for reason in Reason if f"`{reason}`" not in text]
