# SPDX-License-Identifier: Apache-2.0
"""From settings to a store: the one place that knows every kind of store there is."""

from pathlib import Path

from buoy.store.settings import StoreSettings, check
from buoy.store.store import Reporter, Store


def open_store(settings: StoreSettings, reporter: Reporter = lambda _: None) -> Store:
    """Return the store the settings name, not yet connected; raise `InvalidInput` if they cannot work."""
    # imported here: whoever never opens a store, such as `buoy --help`, must not wait for gRPC
    if settings.file:
        from buoy.store.file import FileStore  # noqa: PLC0415

        return FileStore(Path(settings.file), reporter)
    from buoy.store.etcd import EtcdStore  # noqa: PLC0415

    check(settings)
    return EtcdStore(settings, reporter)
