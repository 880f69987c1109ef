# SPDX-License-Identifier: Apache-2.0
"""Reading the store once, for commands that print and end."""

import asyncio

from buoy.model.errors import StoreUnavailable
from buoy.model.snapshot import Batch, Snapshot
from buoy.store.store import Store

_PATIENCE = 15.0


async def listing(store: Store, *prefixes: str) -> Snapshot:
    """Return everything below the prefixes (none: everything) at one revision.

    Raises `StoreUnavailable`: an agent waits for its store, a person does not.
    """
    # a watch waits out every outage, wrong passwords too; a question is refused within two seconds
    await store.read("settings/bgp")
    watch = store.watch(prefixes or ("",))
    try:
        batch: Batch = await asyncio.wait_for(anext(watch), _PATIENCE)
    except TimeoutError as error:
        raise StoreUnavailable(f"the store did not answer within {_PATIENCE:.0f} s") from error
    return batch.snapshot
