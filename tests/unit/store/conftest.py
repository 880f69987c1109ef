# SPDX-License-Identifier: Apache-2.0
"""A scripted API server, and an informer of it."""

from collections.abc import AsyncIterator

import pytest

from buoy.store.api_client import ApiServer
from buoy.store.api_informer import Informer
from tests.store.api.following import Following
from tests.store.api.scripted import THINGS, ScriptedServer, Thing
from tests.store.watching import Reports


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def api(server: ScriptedServer) -> AsyncIterator[ApiServer]:
    api = ApiServer(server.settings())
    yield api
    await api.close()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
async def following(api: ApiServer, reports: Reports) -> AsyncIterator[Following]:
    async with Following(Informer(api, THINGS, Thing, reports)) as following:
        yield following
