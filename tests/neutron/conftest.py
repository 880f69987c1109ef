"""One cloud per test module: a server takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.neutron.cloud import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running Neutron and etcd, with living agents on compute-1 and compute-2."""
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        made.start()
        made.agent("compute-1")
        made.agent("compute-2")
        yield made
    finally:
        made.kill()
