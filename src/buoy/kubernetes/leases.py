# SPDX-License-Identifier: Apache-2.0
"""The leases of an agent in an API server, where a lease deletes nothing: who reads it judges it.

Promises the contract of `store.Leases` for one holder, which has one Lease object,
named after it. Whoever watches takes what the holder says of itself as in force while
the object is renewed. The tricky things: an id is of this process alone, so a lease of
the process before is simply taken over, and nobody sees it gone in between; and a
server that hangs tells no watch so, yet who cannot renew knows that others cannot
either, and says so (`silent`) before they are taken for dead.
"""

import asyncio
from collections.abc import Awaitable, Callable

from buoy.kubernetes.resources import KINDS, NAMESPACE
from buoy.model.errors import BuoyError, InvalidInput, StoreUnavailable
from buoy.model.node import Node
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES, renew
from buoy.store.api_names import ObjectName

PATIENCE = 2.0
"""Seconds to wait for the answer to a renewal, or a sixth of the lease's time if that is more."""

_STATUSES = next(kind.resource for kind in KINDS if kind.struct is Node)


class KubernetesLeases:
    """The lease of one node; `holder` is its name, "" for who has none."""

    def __init__(self, api: ApiServer, holder: str, silent: Callable[[], None] = lambda: None) -> None:
        self._api = api
        self._holder = holder
        self._silent = silent
        self._id = 0
        self._ttl = 0

    async def grant(self, ttl: int) -> int:
        """See `Leases.grant`; one grant ends the one before."""
        if not self._holder:
            raise InvalidInput("node", "", "name the node this process speaks for: only agents have leases")
        await self._heard(renew(self._api, self._name, self._holder, ttl), ttl)
        self._ttl = ttl
        self._id += 1
        return self._id

    async def keep(self, lease: int) -> bool:
        """See `Leases.keep`."""
        if not self.runs(lease):
            return False
        await self._heard(renew(self._api, self._name, self._holder, self._ttl), self._ttl)
        return True

    async def revoke(self, lease: int) -> None:
        """See `Leases.revoke`."""
        if self.runs(lease):
            await self._api.delete(_STATUSES.at(ObjectName("", self._holder)))
            await self._api.delete(LEASES.at(self._name))
            self._id += 1

    def runs(self, lease: int) -> bool:
        """Tell whether this is the lease last granted."""
        return lease == self._id

    async def _heard(self, renewal: Awaitable[None], ttl: int) -> None:
        patience = max(PATIENCE, ttl / 6)
        try:
            async with asyncio.timeout(patience):
                await renewal
        except TimeoutError:
            self._silent()
            raise StoreUnavailable(f"lease {self._name}: no answer in {patience:g} s") from None
        except BuoyError:
            self._silent()
            raise

    @property
    def _name(self) -> ObjectName:
        return ObjectName(NAMESPACE, self._holder)
