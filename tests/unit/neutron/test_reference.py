# SPDX-License-Identifier: Apache-2.0
"""The reference page says what the code says."""

from pathlib import Path

from buoy.neutron.extensions import VETOED, WORKS
from buoy.neutron.reference import page

PAGE = Path(__file__).parents[3] / "docs/reference/neutron-extensions.md"


def test_the_page_is_as_printed() -> None:
    assert page() == PAGE.read_text()


def test_nothing_both_works_and_is_vetoed() -> None:
    assert set() == WORKS.keys() & VETOED.keys()
