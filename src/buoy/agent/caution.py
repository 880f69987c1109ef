"""The guard's memory: which store is believed, and whether removals wait for a person.

A doubt, once raised, stays until a person releases it or a plan for everything has
nothing to hold: a store set back to a backup grows past the kept revision in time,
which proves nothing.
"""

from collections.abc import Collection

from buoy.agent.kept import Kept
from buoy.model.nodestate import Key
from buoy.model.snapshot import Identity
from buoy.planner.guard import Guarded, guard
from buoy.planner.plan import Plan


class Caution:
    """Judges plans of one agent; `cause` says why removals are held, empty if they are not."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._released: set[Key] = set()
        self.cause = kept.doubt

    def spoken_of(self, keys: Collection[Key] | None) -> None:
        """Hear which keys living writers touched after the listing: a removal among these was said, not forgotten."""
        if keys is None:
            self._released.clear()
        elif self.cause:
            self._released.update(keys)

    def doubts(self, seen: Identity) -> bool:
        """Tell whether this store's word is not enough to remove anything."""
        return bool(self.preview(Plan(), seen).cause)

    def judge(self, plan: Plan, seen: Identity, *, whole: bool) -> Guarded:
        """Return what of a plan may be done now; `whole`: it was made for every key and nothing else waits."""
        guarded = guard(plan, seen, self._kept.identity, self._released, self.cause)
        self.cause = guarded.cause
        if whole and not guarded.held:
            self.cause = ""
        if not self.cause:
            self._released.clear()
            self._kept.keep(seen)
        self._kept.keep_doubt(self.cause)
        return guarded

    def release(self, seen: Identity) -> str:
        """Believe the store that speaks now, as a person decided; return the cause that is over."""
        cause, self.cause = self.cause, ""
        self._kept.keep(seen)
        self._kept.keep_doubt("")
        return cause

    @property
    def problem(self) -> str:
        """Why the next agent would not know what this one believes; empty if it would."""
        return self._kept.problem

    def settle(self) -> None:
        """Let the next agent know what this one believes."""
        self._kept.settle()

    def preview(self, plan: Plan, seen: Identity) -> Guarded:
        """Return what `judge` would, and remember nothing."""
        return guard(plan, seen, self._kept.identity, self._released, self.cause)
