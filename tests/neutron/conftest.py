# SPDX-License-Identifier: Apache-2.0
"""One cloud for every test that leaves it alive, for a server takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.neutron.cloud import Cloud, running


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running Neutron and etcd, with living agents on compute-1 and compute-2."""
    yield from running(tmp_path_factory.mktemp("cloud"))
