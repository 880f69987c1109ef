# SPDX-License-Identifier: Apache-2.0
"""A fresh node for each test; what it made is gone afterwards, also when it failed."""

import os
from collections.abc import Iterator

import pytest

from tests.netns.dataplane.place import remove_all
from tests.netns.proxy.node import Node


@pytest.fixture
def node() -> Iterator[Node]:
    prefix = f"kp{os.getpid()}"
    try:
        made = Node(prefix)
        yield made
        made.close()
    finally:
        remove_all(prefix)
