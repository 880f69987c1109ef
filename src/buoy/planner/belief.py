# SPDX-License-Identifier: Apache-2.0
"""What a node believes of its store, and since when it does not: the guard's memory, as data.

Promises that a store set back to a backup is told from one that went on, however far
it was pushed since, and that only what it may have forgotten is held: what was on the
host, and not in the store, when the doubt began. Each such entry ceases to be doubtful
when the store wants it again, when a living writer speaks of the document it came from,
or when a person says so; the doubt is over with the last of them.

The tricky thing is proof. A revision that went back is one; but a store set back grows
past it in time. So each node lets the store remember one document of its own, its
*witness*, which nobody else writes or deletes: one that is older than the last one the
store itself showed, or gone, is the other proof. A document of others that is missing
is none, for it may have been deleted while nobody listened. Both are judged only in
a listing: what a watch tells was said, even the deletion of the witness.
"""

from collections.abc import Callable, Collection, Mapping

import msgspec

from buoy.model.nodestate import Key
from buoy.model.snapshot import Identity
from buoy.planner.contest import Subject
from buoy.planner.guard import Guarded, guard
from buoy.planner.plan import Plan

Owners = Mapping[Key, Subject]
"""The document each entry came from; "" where nobody knows any more."""


class Belief(msgspec.Struct, frozen=True):
    """What was heard last, and why removals wait, if they do (`cause`).

    `doubtful` None: no pass over everything has looked yet, all removals are held; `owners`
    is what was known at that moment of who wants what.
    """

    heard: Identity | None = None
    cause: str = ""
    doubtful: Owners | None = None
    owners: Owners = {}

    @property
    def unsettled(self) -> bool:
        """Whether a doubt has begun of which nobody has looked yet what is doubtful."""
        return bool(self.cause) and self.doubtful is None


def setback(seen: Identity, heard: Identity | None) -> str:
    """Say by what a listing proves that its store is another, or an older state of the one heard; "" if by nothing."""
    if heard is None:
        return ""
    if seen.store != heard.store:
        return f"store {seen.store} speaks, {heard.store} was believed last"
    if seen.revision < heard.revision:
        return f"store {seen.store} went back from revision {heard.revision} to {seen.revision}"
    if seen.witness < heard.witness:
        found = f"of revision {seen.witness}" if seen.witness else "gone"
        return f"store {seen.store} was set back: this node's witness of revision {heard.witness} is {found}"
    return ""


def hear(belief: Belief, seen: Identity, *, listed: bool, owners: Callable[[], Owners] = dict) -> Belief:
    """Return what is believed after a batch; `owners` tells who wanted what until now, and is asked only in doubt."""
    cause = setback(seen, belief.heard) if listed else ""
    if not cause:
        return msgspec.structs.replace(belief, heard=seen)
    return Belief(seen, cause, None, {**owners(), **(belief.doubtful or belief.owners)})


def said(belief: Belief, paths: Collection[str]) -> Belief:
    """Return what is doubtful after a living writer spoke of these documents, if only to delete them."""
    if not belief.doubtful or not paths:
        return belief
    left = {key: owner for key, owner in belief.doubtful.items() if owner not in paths}
    return belief if len(left) == len(belief.doubtful) else msgspec.structs.replace(belief, doubtful=left)


def preview(belief: Belief, plan: Plan) -> Guarded:
    """Return what of a plan may be done now."""
    return guard(plan, belief.doubtful) if belief.cause else Guarded(plan)


def judge(belief: Belief, plan: Plan, *, whole: bool, waits: bool = False) -> tuple[Belief, Guarded]:
    """Return what is believed after a pass, and what of its plan may be done.

    The plan must be for all keys (`whole`) or at least for those that are doubtful; `waits`:
    something that is no entry waits for the doubt's end too.
    """
    guarded = preview(belief, plan)
    if not belief.cause or (belief.unsettled and not whole):
        return belief, guarded
    owners = belief.owners if belief.doubtful is None else belief.doubtful
    doubtful = {key: owners.get(key, "") for key in guarded.serving}
    if not doubtful and not waits:
        return Belief(belief.heard), guarded
    return Belief(belief.heard, belief.cause, doubtful), guarded
