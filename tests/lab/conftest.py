# SPDX-License-Identifier: Apache-2.0
"""A lab of its own for these tests: without Neutron and agents, so that it shows what the lab itself does."""

import os
import uuid
from collections.abc import Iterator

import pytest

from buoy.lab.lab import Lab

BARE = ("neutron", "agent", "dhcp", "compute-1/bird", "compute-2/bird")


def fresh_name() -> str:
    return f"blab-{os.getpid()}-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    made = Lab(fresh_name()).up(nodes=2, without=BARE)
    yield made
    made.down()


@pytest.fixture
def name() -> Iterator[str]:
    """A name no lab has; whatever a test leaves under it is ended."""
    chosen = fresh_name()
    yield chosen
    Lab(chosen).down()
