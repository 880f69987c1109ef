"""A fresh world for each test; what it made is gone afterwards, also when it failed."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from place import remove_all
from world import World


@pytest.fixture
def world() -> Iterator[World]:
    prefix = f"dp{os.getpid()}"
    try:
        made = World(prefix)
        yield made
        made.close()
    finally:
        remove_all(prefix)
