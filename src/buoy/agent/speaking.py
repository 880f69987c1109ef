"""BIRD's configuration: written when peers, filters, settings or nodes changed, never for a service IP."""

from collections.abc import Collection

from buoy.dataplane.bird import BirdSpeaker
from buoy.model.errors import BuoyError, DataplaneError, InvalidInput
from buoy.model.snapshot import Snapshot
from buoy.planner.peering import PATHS, LocalNode, speaking, wish
from buoy.render.bird import bird_conf, remembered

_RETRY = 1.0


class BirdConfiguration:
    """Brings what the documents say of BGP into force; `problems` names what could not be."""

    def __init__(self, speaker: BirdSpeaker, local: LocalNode) -> None:
        self._speaker = speaker
        self._local = local
        self._due = True
        self.problems: tuple[BuoyError, ...] = ()

    def changed(self, paths: Collection[str] | None) -> None:
        """Hear what changed (None: everything)."""
        self._due = self._due or paths is None or any(path.startswith(PATHS) for path in paths)

    def retry_in(self) -> float | None:
        """Return in how many seconds to try again, None if what was wanted is in force."""
        return _RETRY if self._due else None

    def configure(self, snapshot: Snapshot) -> None:
        """Write and load the configuration if it is due; a refused one leaves the old one in force."""
        if not self._due:
            return
        try:
            wanted = speaking(self._local, wish(snapshot, remembered(self._speaker.text())))
            self._speaker.configure(bird_conf(wanted, self._local))
        except InvalidInput as error:
            # nothing to gain from trying the same documents again
            self.problems, self._due = (error,), False
            return
        except DataplaneError as error:
            self.problems = (error,)
            return
        self.problems, self._due = wanted.refused, False
