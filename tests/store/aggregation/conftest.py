# SPDX-License-Identifier: Apache-2.0
"""One control plane for all these tests, and a server in front of v3 for those that want it."""

from collections.abc import Iterator

import pytest

from tests.store.aggregation.cluster import CALICO, Cluster
from tests.store.aggregation.cluster import cluster as running
from tests.store.aggregation.server import Server, lead, leave, serving


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("kube")) as made:
        yield made


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    """A server to which v3 is led."""
    with serving(cluster) as made:
        lead(cluster, made)
        yield made
        leave(cluster)


@pytest.fixture
def served(cluster: Cluster, server: Server) -> Iterator[Cluster]:
    """The cluster with a server in front of v3, without objects of Calico's kinds before and after."""
    assert server.process.poll() is None
    yield cluster
    for plural in ("bgpconfigurations", "bgppeers", "bgpfilters"):
        assert 200 == cluster.ask("DELETE", f"{CALICO}/v3crd/{plural}")[0]
