# SPDX-License-Identifier: Apache-2.0
"""Which of this node's announcements a peer has really been told of.

BIRD learns a kernel route a moment after we add it, so an answer is asked for
again with growing pauses until it is yes. The state of the sessions is one fact:
while none is established nothing is asked per prefix. A session that fell becomes
*not announced* only after `GRACE`, for a BIRD that restarts loses no route meanwhile;
one that was shut down has withdrawn everything, and is not waited for.
"""

from collections.abc import Callable, Collection, Mapping

from buoy.dataplane.driver import Speaker
from buoy.model.address import Prefix, split
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.reason import Reason, Withhold
from buoy.planner.peering_names import outward

GRACE = 5.0
"""Seconds a session that fell is waited for before its addresses are not announced: a restarted BIRD takes two."""

_POLL = 1.0
_SHUT = "Down"
_UNKNOWN = Withhold(Reason.NOT_TOLD_YET)
_PAUSES = (0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5)


class Announcements:
    """Follows prefixes that are in the kernel until a peer has them; `clock` gives seconds."""

    def __init__(self, speaker: Speaker, node: str, clock: Callable[[], float]) -> None:
        self._speaker = speaker
        self._node = node
        self._clock = clock
        self._told: dict[Prefix, Withhold | None] = {}
        self._open: set[Prefix] = set()
        self._believed = 0
        """How many prefixes some peer has."""
        self._tries = 0
        self._poll_due = 0.0
        self._fewer: tuple[int, ...] = ()
        self._silent_since: float | None = None
        self._lost: frozenset[str] = frozenset()
        """The sessions that were the last to be established."""
        self.sessions: tuple[PeerSession, ...] = ()
        self.answers = False

    def follow(self, present: Collection[Prefix], gone: Collection[Prefix]) -> None:
        """Hear what a pass announced anew or still, and what it withdrew."""
        for prefix in gone:
            self._believed -= prefix in self._told and self._told.pop(prefix) is None
            self._open.discard(prefix)
        self._open.update(present)
        for prefix in present:
            self._told.setdefault(prefix, self._just_made(prefix))
        self._tries = 0

    def doubt(self) -> None:
        """Hear that what BIRD tells may have changed: everything is asked anew."""
        self._open.update(self._told)
        self._tries = 0

    @property
    def followed(self) -> frozenset[Prefix]:
        """Every prefix that is followed."""
        return frozenset(self._told)

    def answer(self, prefix: Prefix) -> Withhold | None:
        """Return why no peer has the prefix, as last heard; None: one has."""
        return self._told.get(prefix, self._just_made(prefix))

    def ask(self, prefix: Prefix) -> Withhold | None:
        """Return what BIRD says this moment, without any patience."""
        return self._speaker.exported((prefix,))[prefix]

    def look(self) -> frozenset[Prefix]:
        """Ask BIRD what is due; return the prefixes whose answer changed."""
        now = self._clock()
        if now >= self._poll_due:
            self._poll(now)
        if not self._established:
            return self._settle_silent(now)
        asked = self._speaker.exported(tuple(self._open)) if self._open else {}
        self._tries += 1
        if self._tries <= len(_PAUSES):
            asked = {prefix: self._patiently(prefix, answer) for prefix, answer in asked.items()}
        changed = {prefix for prefix, answer in asked.items() if self._told.get(prefix) != answer}
        self._tell({prefix: asked[prefix] for prefix in changed})
        self._open = {prefix for prefix, answer in asked.items() if answer is not None}
        return frozenset(changed)

    def due(self) -> float:
        """Return in how many seconds `look` has something to ask."""
        waiting = self._open and self._established and self._tries < len(_PAUSES)
        return _PAUSES[self._tries] if waiting else _POLL

    @property
    def _established(self) -> frozenset[str]:
        counting = outward((session.name for session in self.sessions), self._speaker.inside)
        return frozenset(session.name for session in self.sessions if session.established and session.name in counting)

    def _just_made(self, prefix: Prefix) -> Withhold:
        return Withhold(Reason.NOT_TOLD_YET, {"node": self._node, "address": split(prefix)[0]})

    def _tell(self, answers: Mapping[Prefix, Withhold | None]) -> None:
        for prefix, answer in answers.items():
            self._believed += (answer is None) - (self._told.get(prefix, _UNKNOWN) is None)
            self._told[prefix] = answer

    def _patiently(self, prefix: Prefix, answer: Withhold | None) -> Withhold | None:
        """Return that BIRD has not learned a route, while it is expected any moment, as nothing to worry about."""
        young = answer is not None and answer.reason is Reason.NOT_VERIFIED
        return self._just_made(prefix) if young else answer

    def _poll(self, now: float) -> None:
        before = self._established
        try:
            self.sessions, self.answers = self._speaker.sessions(), True
        except DataplaneError:
            self.sessions, self.answers = (), False
        took = self._clock() - now
        # one that is not there says so at once; one that hangs has kept everything else waiting for as long
        self._poll_due = now + took + (_POLL if self.answers else 2 * took)
        if self._established != before or self._tell_fewer():
            self.doubt()
        self._lost = self._established or self._lost
        if self._established:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now

    @property
    def _may_return(self) -> bool:
        """Whether a session that was lost may still be heard: BIRD restarts, or one fell and nobody shut it down."""
        return not self.answers or any(
            session.name in self._lost and session.state != _SHUT for session in self.sessions
        )

    def _tell_fewer(self) -> bool:
        """Tell whether no session has as many prefixes as are believed to be told: somebody changed what BIRD tells.

        Sessions that share the prefixes, such as one per family, always look so: the same numbers are news once.
        """
        counts = tuple(session.exported for session in self.sessions if session.name in self._established)
        fewer = counts if counts and max(counts) < self._believed else ()
        before, self._fewer = self._fewer, fewer
        return bool(fewer) and fewer != before

    def _settle_silent(self, now: float) -> frozenset[Prefix]:
        reason = Reason.NO_ESTABLISHED_PEER if self.answers else Reason.BIRD_AWAY
        silent = Withhold(reason, {"node": self._node})
        since = now if self._silent_since is None else self._silent_since
        patient = now - since < GRACE and self._may_return
        waited = {prefix for prefix in self._open if patient and self._told.get(prefix) is None}
        changed = {prefix for prefix in self._open - waited if self._told.get(prefix) != silent}
        self._tell(dict.fromkeys(changed, silent))
        # what is settled is asked again when a session comes up, and not before
        self._open = waited
        return frozenset(changed)
