# SPDX-License-Identifier: Apache-2.0
"""A lease's own: what happens when the leased document cannot be written."""

import asyncio

import pytest

from buoy.model.errors import Conflict, InvalidInput
from buoy.store.lease import Lease
from buoy.store.memory import MemoryStore
from tests.store.watching import Reports


async def test_a_refused_write_is_reported_and_tried_again_under_the_same_lease() -> None:
    reports, leases = Reports(), list[int]()
    written = asyncio.Event()

    async def renewed(lease: int) -> None:
        leases.append(lease)
        if len(leases) == 1:
            raise InvalidInput("username", "compute-1", "give it the role")
        written.set()

    async with Lease(MemoryStore().leases, 60, renewed, reports):
        await asyncio.wait_for(written.wait(), 10)
        await reports.heard(2)
    assert leases == [leases[0], leases[0]]
    assert "give it the role" in str(reports.all[0])
    assert reports.all[1] is None


async def test_a_lease_that_was_gone_before_the_write_is_granted_anew() -> None:
    leases = list[int]()
    written = asyncio.Event()

    async def renewed(lease: int) -> None:
        leases.append(lease)
        if len(leases) == 1:
            raise Conflict("lease has expired")
        written.set()

    async with Lease(MemoryStore().leases, 60, renewed, Reports()):
        await asyncio.wait_for(written.wait(), 10)
    assert len(set(leases)) == 2


async def test_a_bug_in_what_writes_the_document_is_raised_not_swallowed() -> None:
    async def renewed(lease: int) -> None:
        raise ZeroDivisionError

    lease = Lease(MemoryStore().leases, 60, renewed, Reports())
    with pytest.raises(ZeroDivisionError):
        async with lease:
            await lease.ended()
