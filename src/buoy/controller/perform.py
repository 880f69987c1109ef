# SPDX-License-Identifier: Apache-2.0
"""A decision's steps, done one after the other.

Promises: the first step that fails ends it, and what was done is told at
once, so that the next decision knows it before the watch does. The tricky thing is a
release without a write to its object before it: then nothing has proved yet that the
object still is what was decided on, so it is read once more. What is given to pods
leads to one of them by name and address, so there the claim's own version proves it.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from buoy.controller.reading import Holder
from buoy.controller.step import Finalize, Publish, Release, Step, Take
from buoy.controller.subject import Claim
from buoy.controller.writes import PROVABLE, Writes
from buoy.model.service_ip import Owner

Did: TypeAlias = Callable[[Step, Holder | Claim | None, Owner], None]
"""Hears each step that was done, what the object it wrote is after it, and whose it is."""


async def perform(owner: Owner, holder: Holder | None, steps: Sequence[Step], writes: Writes, did: Did) -> None:
    """Do what was decided of an object, None if it is gone; raise `Conflict`, `InvalidInput`, `StoreUnavailable`."""
    proved = False
    for step in steps:
        outcome: Holder | Claim | None = None
        match step:
            case Take(document, version, back):
                if back and not proved:
                    # in a store that was set back it may be gone, and its kind not listed anew yet
                    await writes.prove(owner, holder)
                    proved = True
                outcome = await writes.claim(Claim(document, version))
            case Release(document, version):
                if not proved and owner.kind in PROVABLE:
                    await writes.prove(owner, holder)
                    proved = True
                outcome = await writes.claim(Claim(document, version))
            case Finalize() | Publish() if holder is not None:
                outcome = holder = await writes.holder(holder, step)
                proved = True
        did(step, outcome, owner)
