# SPDX-License-Identifier: Apache-2.0
"""What an agent counts and times of its own work; `runtime/telemetry.py` has the metrics' names.

Promises that a time runs from the moment the agent heard of a change, so what it
missed while it was dead is not in it.
"""

from collections.abc import Collection, Iterable

from buoy.agent.reconcile import Outcome
from buoy.model.address import Prefix
from buoy.model.node import PeerSession
from buoy.model.nodestate import Change, Failure, Key
from buoy.planner.status import act_name
from buoy.runtime.telemetry import Telemetry


class Measures:
    """The numbers of one agent; `now` is given in seconds of one clock."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._heard: float | None = None
        self._since: float | None = None
        self._began = 0.0
        self._untold: dict[Prefix, float] = {}
        self._refused: set[tuple[str, str]] = set()
        self._sessions: tuple[PeerSession, ...] = ()

    def heard(self, now: float) -> None:
        """Hear that documents changed."""
        self._heard = now if self._heard is None else self._heard

    def pass_began(self, now: float) -> None:
        """Hear that a pass takes in what was heard so far."""
        self._began = now
        self._since, self._heard = self._heard, None

    def reconciled(self, outcome: Outcome, damaged: Collection[Key], now: float) -> None:
        """Count an outcome; `damaged` are the keys that somebody else changed."""
        telemetry = self._telemetry
        telemetry.passes.inc()
        telemetry.pass_seconds.observe(now - self._began)
        if self._since is not None and outcome.plan:
            telemetry.programmed_seconds.observe(now - self._since)
        for change in outcome.plan.changes:
            if change.key in damaged:
                telemetry.repairs.labels(change.key.table.name.lower()).inc()
        for failure in outcome.failures:
            act = failure.step.act
            telemetry.failures.labels(act.key.table.name.lower() if isinstance(act, Change) else "conntrack").inc()
        self._log(outcome.failures)
        telemetry.held.set(len(outcome.held))

    def _log(self, failures: Iterable[Failure]) -> None:
        """Tell of refusals once: a step is tried again each few seconds for as long as it is refused."""
        said = {(act_name(failure.step.act), failure.error) for failure in failures}
        for act, error in sorted(said - self._refused):
            self._telemetry.log.warning("host refused", act=act, error=error)
        for act, _ in sorted(self._refused - said):
            self._telemetry.log.info("refused no longer, or no longer tried", act=act)
        self._refused = said

    def restored(self, times: int) -> None:
        """Count static parts that were put back."""
        if times:
            self._telemetry.repairs.labels("static").inc(times)

    def announced(self, made: Iterable[Prefix], gone: Iterable[Prefix]) -> None:
        """Hear which announcements a pass made anew, and which are no more."""
        for prefix in gone:
            self._untold.pop(prefix, None)
        if self._since is not None:
            self._untold.update(dict.fromkeys(made, self._since))

    def told(self, prefixes: Iterable[Prefix], now: float) -> None:
        """Hear that a peer has these now."""
        for prefix in prefixes:
            since = self._untold.pop(prefix, None)
            if since is not None:
                self._telemetry.announced_seconds.observe(now - since)

    def sessions(self, sessions: tuple[PeerSession, ...]) -> None:
        """Show the BGP sessions."""
        if sessions == self._sessions:
            return
        self._sessions = sessions
        self._telemetry.sessions.clear()
        for session in sessions:
            self._telemetry.sessions.labels(session.name).set(session.established)
