# SPDX-License-Identifier: Apache-2.0
"""A fresh world for each test; what it made is gone afterwards, also when it failed."""

import os
from collections.abc import Iterator

import pytest

from tests.netns.dataplane.place import remove_all
from tests.netns.dataplane.world import World


@pytest.fixture
def world() -> Iterator[World]:
    prefix = f"dp{os.getpid()}"
    try:
        made = World(prefix)
        yield made
        made.close()
    finally:
        remove_all(prefix)
