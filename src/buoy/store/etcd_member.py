# SPDX-License-Identifier: Apache-2.0
"""What one member of etcd tells of itself: for people who look why the store does not answer.

Promises to ask that member alone: no other endpoint speaks for it.
"""

import msgspec

from buoy.store.accounts import Administrator
from buoy.store.etcd_channel import Connection
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings, check


class Member(msgspec.Struct, frozen=True):
    """`size` is of its database, in bytes; `accounts` whether the cluster asks for them."""

    version: str
    leader: bool
    revision: int
    size: int
    accounts: bool


async def member(settings: StoreSettings) -> Member:
    """Return what the one endpoint of `settings` says; raise `StoreUnavailable`, `InvalidInput`."""
    check(settings)
    connection = Connection(settings)
    try:
        told = await connection.call("Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)
    finally:
        await connection.close()
    async with Administrator(settings) as administrator:
        asks = await administrator.asks()
    leads = told.leader == told.header.member_id
    return Member(told.version, leads, told.header.revision, told.dbSize, asks)
