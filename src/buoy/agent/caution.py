# SPDX-License-Identifier: Apache-2.0
"""The guard's memory in one agent: what is believed (`belief.py`), and on disk for the next agent (`kept.py`)."""

from collections.abc import Callable, Collection

from buoy.agent.kept import Kept
from buoy.model.snapshot import Identity
from buoy.planner.belief import Belief, Owners, hear, judge, preview, said
from buoy.planner.guard import Guarded
from buoy.planner.plan import Plan


class Caution:
    """Judges plans of one agent; `cause` says why removals are held, empty if they are not."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._relied = 0

    @property
    def cause(self) -> str:
        """Why removals are held; empty if they are not."""
        return self._kept.belief.cause

    @property
    def rebooted(self) -> bool:
        """Whether what this node last said was before its host booted."""
        return self._kept.rebooted

    def looked(self) -> None:
        """Hear that what this node says is of this boot, or taken back."""
        self._kept.looked()

    def hear(self, seen: Identity, *, listed: bool, owners: Callable[[], Owners] = dict) -> bool:
        """Hear from the store; tell whether a doubt begins, after which the next pass must look at everything.

        `owners` tells who wanted what until now, and is asked only then.
        """
        before = self._kept.belief
        after = hear(before, seen, listed=listed, owners=owners)
        self._kept.keep(after)
        return after.unsettled and not before.unsettled

    def said(self, paths: Collection[str]) -> bool:
        """Hear of which documents living writers spoke: what they leave out is gone; tell whether that frees any."""
        before = self._kept.belief
        after = said(before, paths)
        self._kept.keep(after)
        return after is not before

    def judge(self, plan: Plan, *, whole: bool, waits: bool = False) -> Guarded:
        """Return what of a plan may be done now; see `belief.judge`."""
        belief, guarded = judge(self._kept.belief, plan, whole=whole, waits=waits)
        self._kept.keep(belief)
        return guarded

    def let_go(self, *, whole: bool, waits: bool) -> None:
        """Hear that nothing is held any more: what a service proxy forwards no more goes after its plan was judged."""
        self.judge(Plan(()), whole=whole, waits=waits)

    def preview(self, plan: Plan) -> Guarded:
        """Return what `judge` would, and remember nothing."""
        return preview(self._kept.belief, plan)

    def release(self) -> str:
        """Believe the store that spoke last, as a person decided; return the cause that is over."""
        before = self._kept.belief
        self._kept.keep(Belief(before.heard))
        return before.cause

    def rely(self) -> None:
        """Note that what this node holds follows from what was heard last: if it is lost, that must show."""
        if (heard := self._kept.belief.heard) is not None:
            self._relied = heard.revision

    @property
    def unwitnessed(self) -> bool:
        """Whether the store could lose what this node relies on, and its witness would not show it.

        While a doubt is not on disk, the witness is the only proof of it, and stays what it is.
        """
        belief = self._kept.belief
        if belief.heard is None or belief.unsettled or (belief.cause and not self._kept.knows_cause):
            return False
        return belief.heard.witness < self._relied

    @property
    def problem(self) -> str:
        """Why the next agent would not know what this one believes; empty if it would."""
        return self._kept.problem

    def settle(self) -> None:
        """Let the next agent know what this one believes."""
        self._kept.settle()
