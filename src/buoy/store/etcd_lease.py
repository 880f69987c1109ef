# SPDX-License-Identifier: Apache-2.0
"""Leases in etcd: granted, kept and revoked by one short exchange each.

Promises what `store.Leases` promises. A keep-alive is a stream in etcd; here it is
opened for one question and one answer, so that no stream has to be looked after
between them.
"""

from buoy.model.errors import Conflict
from buoy.store.etcd_channel import Connection
from buoy.store.proto import etcd_pb2 as pb


class EtcdLeases:
    """See `store.Leases`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def grant(self, ttl: int) -> int:
        """See `Leases.grant`."""
        request = pb.LeaseGrantRequest(TTL=ttl)
        return (await self._connection.call("Lease/LeaseGrant", request, pb.LeaseGrantResponse)).ID

    async def keep(self, lease: int) -> bool:
        """See `Leases.keep`."""
        request = pb.LeaseKeepAliveRequest(ID=lease)
        answer = await self._connection.call("Lease/LeaseKeepAlive", request, pb.LeaseKeepAliveResponse)
        return answer.TTL > 0

    async def revoke(self, lease: int) -> None:
        """See `Leases.revoke`."""
        try:
            await self._connection.call("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)
        except Conflict:
            # expired by itself: what was wanted is the case
            return
