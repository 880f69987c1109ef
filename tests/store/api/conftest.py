# SPDX-License-Identifier: Apache-2.0
"""One real API server for all tests here, a namespace of its own for each, and clients of it."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from buoy.store.api_client import ApiServer
from tests.store.api.kube import KubeServer

_numbers = itertools.count()


@pytest.fixture(scope="session")
def kube() -> Iterator[KubeServer]:
    server = KubeServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def api(kube: KubeServer) -> AsyncIterator[ApiServer]:
    api = ApiServer(kube.settings())
    yield api
    await api.close()


@pytest.fixture
def namespace(kube: KubeServer) -> str:
    name = f"test-{next(_numbers)}"
    kube.kubectl("create", "namespace", name)
    return name
