# SPDX-License-Identifier: Apache-2.0
"""One lab per test module: real Neutron, etcd, BIRD and agents, brought up in seconds."""

from collections.abc import Iterator

import pytest

from buoy.lab.lab import Lab
from tests.e2e.cloud import Cloud, fresh_name, networks


@pytest.fixture(scope="module")
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A lab of two compute nodes with the documents' networks; nothing of it is left afterwards."""
    room = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:16]
    lab = Lab(fresh_name(room)).up(nodes=2)
    made = Cloud(lab)
    try:
        networks(made)
        yield made
    finally:
        made.close()
        lab.down()
