# SPDX-License-Identifier: Apache-2.0
"""One real API server with Buoy's kinds for all tests here, and stores of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from buoy.kubernetes.source import KubernetesSettings, KubernetesStore
from buoy.store.api_client import ApiServer
from tests.store.api.kube import KubeServer
from tests.store.watching import Reports

CRDS = Path(__file__).resolve().parents[2] / "packaging" / "kubernetes" / "crds"


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeServer]:
    server = KubeServer()
    try:
        server.start()
        server.kubectl("create", "namespace", "buoy-system")
        server.kubectl("apply", "--server-side", "-f", str(CRDS))
        server.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        yield server
    finally:
        server.remove()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
async def store(kube: KubeServer, reports: Reports) -> AsyncIterator[KubernetesStore]:
    made = KubernetesStore(ApiServer(kube.settings()), KubernetesSettings(node="node-1"), reports)
    yield made
    await made.close()
