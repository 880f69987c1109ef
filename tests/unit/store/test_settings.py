# SPDX-License-Identifier: Apache-2.0
"""Settings of a store: what cannot work is refused before anything is tried."""

from pathlib import Path

import msgspec
import pytest

from buoy.model.errors import InvalidInput
from buoy.store.etcd import EtcdStore
from buoy.store.file import FileStore
from buoy.store.opening import open_store
from buoy.store.settings import StoreSettings

SECURE = StoreSettings(endpoints=("https://192.0.2.10:2379", "https://[2001:db8::10]:2379"), ca="ca", cert="c", key="k")


async def test_complete_settings_open_etcd() -> None:
    store = open_store(SECURE)
    assert isinstance(store, EtcdStore)
    await store.close()


async def test_a_file_opens_a_file_store(tmp_path: Path) -> None:
    store = open_store(StoreSettings(file=str(tmp_path)))
    assert isinstance(store, FileStore)
    await store.close()


def test_targets_are_what_grpc_dials() -> None:
    assert SECURE.targets == ("192.0.2.10:2379", "[2001:db8::10]:2379")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoints": ()}, "endpoints"),
        ({"endpoints": ("192.0.2.10:2379",)}, "endpoints"),
        ({"endpoints": ("https://192.0.2.10",)}, "endpoints"),
        ({"endpoints": ("https://192.0.2.10:65536",)}, "endpoints"),
        ({"endpoints": ("https://192.0.2.10:0",)}, "endpoints"),
        ({"endpoints": ("https://[2001:db8::10:2379",)}, "endpoints"),
        ({"endpoints": ("https://host name:2379",)}, "endpoints"),
        ({"endpoints": ("https://:2379",)}, "endpoints"),
        ({"endpoints": ("https://192.0.2.10:2379", "http://192.0.2.11:2379")}, "endpoints"),
        ({"endpoints": ("http://192.0.2.10:2379",)}, "ca"),
        ({"key": ""}, "key"),
        ({"cert": ""}, "key"),
        ({"username": "neutron"}, "password_file"),
        ({"password_file": "/etc/buoy/password"}, "password_file"),
        ({"prefix": "buoy/"}, "prefix"),
        ({"prefix": "/buoy"}, "prefix"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_store(msgspec.structs.replace(SECURE, **change))
    assert refused.value.field == field
