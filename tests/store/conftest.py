# SPDX-License-Identifier: Apache-2.0
"""Stores to test: one real etcd for all tests, or one of its own for a test that breaks it."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from buoy.store.etcd import EtcdStore
from buoy.store.memory import MemoryStore
from buoy.store.settings import StoreSettings
from buoy.store.store import Store
from tests.store.etcd_server import EtcdServer
from tests.store.watching import Reports

_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
async def connect(reports: Reports) -> AsyncIterator[Callable[[StoreSettings], EtcdStore]]:
    opened: list[EtcdStore] = []

    def open_one(settings: StoreSettings) -> EtcdStore:
        opened.append(EtcdStore(settings, reports))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def shared_settings(shared_etcd: EtcdServer) -> StoreSettings:
    return shared_etcd.settings(f"/test-{next(_numbers)}/")


@pytest.fixture(params=["memory", "etcd"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    in_memory = request.param == "memory"
    made: Store = MemoryStore() if in_memory else EtcdStore(request.getfixturevalue("shared_settings"))
    yield made
    await made.close()
