# SPDX-License-Identifier: Apache-2.0
"""A cloud that is gone after each test, also after one that failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.bird.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    built = Cloud(tmp_path)
    try:
        yield built
    finally:
        built.close()
