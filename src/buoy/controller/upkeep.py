# SPDX-License-Identifier: Apache-2.0
"""What is written of an address for nobody's sake: a claim that is over goes, one that the store lost comes back.

Promises to do nothing that is no longer due: what was asked for may have waited. The tricky thing is that a lost
claim is held as if it stood: until it does, nothing but its address tells it from others.
"""

import datetime as dt
from collections.abc import Coroutine
from typing import Any

from buoy.controller.endings import remembered
from buoy.controller.subject import Claim
from buoy.controller.world import LOSS, World
from buoy.controller.writes import Writes
from buoy.model.address import Address
from buoy.model.service_ip import Identity


def upkeep(identity: Identity, world: World, writes: Writes, now: dt.datetime) -> Coroutine[Any, Any, None] | None:
    """Return what is to be done for an address, named by `identity`; None if nothing is."""
    at = Address(identity.name)
    claim = world.books.claims.get(at)
    if claim is None:
        return None
    if identity.kind == LOSS:
        return _restore(claim, world, writes) if at in world.losses else None
    if claim.document.released is None or remembered(claim.document, world.books.ledger) > now:
        return None
    return _forget(claim, world, writes)


async def _restore(claim: Claim, world: World, writes: Writes) -> None:
    world.claim(await writes.claim(claim))


async def _forget(claim: Claim, world: World, writes: Writes) -> None:
    """Delete a claim that nobody had for so long that its last owner is not expected back."""
    if claim.version:
        # one that the store has lost already stands nowhere: what is there now by its name is another's
        await writes.forget(claim)
    world.forgot(claim)
