# SPDX-License-Identifier: Apache-2.0
"""The leases of an agent in an API server, where a lease deletes nothing: who reads it judges it.

Promises the contract of `store.Leases` for one holder, which has one Lease object,
named after it. Whoever watches takes what the holder says of itself as in force while
the object is renewed. The tricky thing: an id is of this process alone, so a lease of
the process before is simply taken over, and nobody sees it gone in between.
"""

from buoy.kubernetes.resources import KINDS, NAMESPACE
from buoy.model.errors import InvalidInput
from buoy.model.node import Node
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES, renew
from buoy.store.api_names import ObjectName

_STATUSES = next(kind.resource for kind in KINDS if kind.struct is Node)


class KubernetesLeases:
    """The lease of one node; `holder` is its name, "" for who has none."""

    def __init__(self, api: ApiServer, holder: str) -> None:
        self._api = api
        self._holder = holder
        self._id = 0
        self._ttl = 0

    async def grant(self, ttl: int) -> int:
        """See `Leases.grant`; one grant ends the one before."""
        if not self._holder:
            raise InvalidInput("node", "", "name the node this process speaks for: only agents have leases")
        await renew(self._api, self._name, self._holder, ttl)
        self._ttl = ttl
        self._id += 1
        return self._id

    async def keep(self, lease: int) -> bool:
        """See `Leases.keep`."""
        if not self.runs(lease):
            return False
        await renew(self._api, self._name, self._holder, self._ttl)
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

    @property
    def _name(self) -> ObjectName:
        return ObjectName(NAMESPACE, self._holder)
