# SPDX-License-Identifier: Apache-2.0
"""BIRD's configuration: written when peers, filters, settings or nodes changed, never for a service IP.

The tricky thing: a session that ends withdraws every address of this node at once,
so while the store is doubted (`caution.py`) a configuration that ends one, or tells nothing over it
any more, waits.
"""

import time
from collections.abc import Callable, Collection

from buoy.dataplane.bird import BirdSpeaker
from buoy.model.address import Address
from buoy.model.errors import BuoyError, DataplaneError, InvalidInput
from buoy.model.node import Node
from buoy.model.peer import BGPSettings
from buoy.model.snapshot import Snapshot
from buoy.planner.peering import PATHS, said, speaking, wish
from buoy.planner.peering_rules import check_settings
from buoy.planner.peering_sessions import LocalNode
from buoy.render.bird import bird_conf, remembered, telling

_RETRY = 1.0


class BirdConfiguration:
    """Brings what the documents say of BGP into force; `problems` names what could not be."""

    def __init__(
        self,
        speaker: BirdSpeaker,
        local: LocalNode,
        clock: Callable[[], float] = time.monotonic,
        password: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._speaker = speaker
        self._password = password
        self._local = local
        self._clock = clock
        self._due = True
        self._not_before = 0.0
        self._nodes: dict[str, tuple[Address, ...] | None] = {}
        self._doubtful: frozenset[str] | None = None
        self._settings: BGPSettings | None = None
        """The last that sessions could work with."""
        self.problems: tuple[BuoyError, ...] = ()
        self.held: tuple[str, ...] = ()
        """Sessions that the store, which is doubted, knows nothing of any more."""

    def changed(self, paths: Collection[str] | None, snapshot: Snapshot) -> None:
        """Hear what changed (None: everything); of other nodes' heartbeats only their addresses matter."""
        if paths is None:
            self._nodes = {}
            self.doubt()
            return
        for path in paths:
            if path.startswith("nodes/"):
                self._due |= self._moved(path, snapshot.documents.get(path))
            elif path.startswith(PATHS):
                self.doubt()

    def doubt(self) -> None:
        """Let the next `configure` look whether what is wanted is on disk and in force: others may have changed it."""
        self._due, self._not_before = True, 0.0

    def distrust(self) -> None:
        """Hear that a doubt begins: what the next `configure` would end is what the store may have forgotten."""
        self._doubtful = None
        self.doubt()

    def _moved(self, path: str, node: object) -> bool:
        addresses = node.addresses if isinstance(node, Node) else None
        before, self._nodes[path] = self._nodes.get(path, ()), addresses
        return before != addresses

    def retry_in(self) -> float | None:
        """Return in how many seconds to try again, None if what was wanted is in force."""
        return _RETRY if self._due else None

    def configure(self, snapshot: Snapshot, *, doubted: bool = False) -> bool:
        """Write and load the configuration if it is due, and tell whether it is in force now.

        A refused one, or one that waits, leaves the old in force.
        """
        if not self._due or self._clock() < self._not_before:
            return False
        self.held = ()
        try:
            before = self._speaker.text()
            settings, wrong = self._workable(said(snapshot))
            wanted = speaking(self._local, wish(snapshot, remembered(before), self._password, settings))
            text = bird_conf(wanted, self._local)
            self._speaker.inside = frozenset(session.name for session in wanted.sessions if session.inside)
            self.held = self._hold(set(telling(before)) - set(telling(text))) if doubted else ()
            if self.held:
                return False
            self._speaker.configure(text)
        except InvalidInput as error:
            # nothing to gain from trying the same documents again
            self.problems, self._due = (error,), False
            return False
        except DataplaneError as error:
            # each try may cost a second of silence, which no other pass is to wait for
            self.problems, self._not_before = (error,), self._clock() + _RETRY
            return False
        self.problems, self._due = (*wrong, *wanted.refused), False
        return True

    def _workable(self, settings: BGPSettings) -> tuple[BGPSettings, tuple[InvalidInput, ...]]:
        """Return settings, the last good ones in the place of such as no session could work with, and what is wrong.

        Without last good ones what is in force stays: to guess an AS would end every session.
        """
        try:
            check_settings(settings)
        except InvalidInput as error:
            if self._settings is None:
                raise
            return self._settings, (error,)
        self._settings = settings
        return settings, ()

    def _hold(self, ending: set[str]) -> tuple[str, ...]:
        """Return which of these sessions must go on: not those that the store has known since the doubt began."""
        self._doubtful = frozenset(ending if self._doubtful is None else self._doubtful & ending)
        return tuple(sorted(self._doubtful))
