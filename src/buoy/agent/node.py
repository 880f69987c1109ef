"""One node's agent: gathers what happened, runs the pass over it, and says what was then seen.

Promises: every status it says follows from an observation made after the last act.
The tricky thing: three clocks meet here, documents, the kernel and BIRD, and each may
speak before the others; so each only adds to what the next pass looks at.
"""

import time
from collections.abc import Iterable

from buoy.agent.announcements import Announcements
from buoy.agent.caution import Caution
from buoy.agent.reconcile import Outcome, reconcile
from buoy.agent.reports import Reports
from buoy.agent.speaking import BirdConfiguration
from buoy.dataplane.driver import Disturbance, Host
from buoy.model.address import Address, Prefix, host_prefix
from buoy.model.nodestate import Change, Key, Table
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.planner.desired import Desired, Touched
from buoy.planner.status import Seen, address_status, workload_status
from buoy.runtime.telemetry import Telemetry

_RETRY_FIRST, _RETRY_LAST = 0.05, 5.0


class Parts:
    """What an agent is made of; put together by `run.py`, or by a test with a fake host."""

    def __init__(self, host: Host, announcements: Announcements, bird: BirdConfiguration, caution: Caution) -> None:
        self.host = host
        self.announcements = announcements
        self.bird = bird
        self.caution = caution


class Agent:
    """The work of the loop; see `runtime/loop.py`."""

    def __init__(self, desired: Desired, parts: Parts, reports: Reports, telemetry: Telemetry) -> None:
        self.desired = desired
        self.parts = parts
        self.reports = reports
        self.telemetry = telemetry
        self.snapshot: Snapshot | None = None
        self.audit_interval = 60.0
        self.last: Outcome | None = None
        self._changed: set[str] | None = None
        self._since: float | None = None
        self._audit_due = 0.0
        self._wrong: frozenset[Key] = frozenset()
        self._doubtful: frozenset[Key] = frozenset()
        self._retry = _RETRY_FIRST

    def take(self, batch: Batch) -> None:
        """Hear from the store; the next pass looks at it."""
        self.snapshot = batch.snapshot
        own = f"status/{self.desired.here.node}/"
        paths = batch.snapshot.documents if batch.changed is None else batch.changed
        self.reports.heard(
            {path: batch.snapshot.documents.get(path) for path in paths if path.startswith(own)},
            complete=batch.changed is None,
        )
        self.parts.bird.changed(batch.changed)
        if batch.changed is None:
            self._changed = None
        elif self._changed is not None:
            self._changed.update(path for path in batch.changed if not path.startswith("status/"))
        if self._changed != set():
            self._since = self._since or time.monotonic()
        self.telemetry.store_up.set(1)

    def look_at_everything(self) -> None:
        """Let the next pass compute and compare everything anew."""
        self._changed = None

    def failed(self, error: Exception) -> None:
        """Hear that a pass raised."""
        self.telemetry.log.error("pass failed", error=str(error), kind=type(error).__name__)
        self.look_at_everything()

    def run_pass(self) -> float | None:
        """Run one pass; nothing happens on the host before the store has spoken once."""
        if self.snapshot is None:
            return None
        disturbance = self.parts.host.disturbances()
        self.parts.bird.configure(self.snapshot)
        touched = self._update(self.snapshot, disturbance)
        keys = self._keys(touched, disturbance)
        if keys is None or keys:
            self._reconcile(self.snapshot.identity, touched, keys, disturbance)
        retold = self.parts.announcements.look()
        self._say_addresses(self._addresses(touched, keys, retold))
        self._say_workloads(touched, keys)
        return self._delay()

    def _update(self, snapshot: Snapshot, disturbance: Disturbance) -> Touched:
        changed, self._changed = self._changed, set()
        if changed == set() and not disturbance.links:
            return Touched(frozenset(), frozenset(), frozenset())
        before = self.desired.computed
        paths = None if changed is None else frozenset(changed)
        touched = self.desired.update(snapshot, paths, self.parts.host.links(), disturbance.links)
        self.telemetry.subjects.inc(self.desired.computed - before)
        self.parts.caution.spoken_of(touched.keys)
        return touched

    def _keys(self, touched: Touched, disturbance: Disturbance) -> frozenset[Key] | None:
        now = time.monotonic()
        if touched.keys is None or disturbance.overrun or now >= self._audit_due:
            self._audit_due = now + self.audit_interval
            return None
        return touched.keys | disturbance.keys | self._wrong

    def _reconcile(
        self, identity: Identity, touched: Touched, keys: frozenset[Key] | None, disturbance: Disturbance
    ) -> None:
        began = time.monotonic()
        judge = self.parts.caution.judge
        outcome = reconcile(self.parts.host, self.desired, keys, lambda plan: judge(plan, identity, whole=keys is None))
        held = {step.act.key for step in outcome.held if isinstance(step.act, Change)}
        retried = {wrong.key for wrong in outcome.wrong} - held
        self._retry = min(self._retry * 2, _RETRY_LAST) if retried else _RETRY_FIRST
        refused = {failure.step.act.key for failure in outcome.failures if isinstance(failure.step.act, Change)}
        # what was wrong before may be right now: both change what is said
        self._doubtful = self._wrong | frozenset(retried) | refused
        self._wrong = frozenset(retried)
        self.last = outcome
        self._follow(keys)
        self._measure(outcome, touched, disturbance, began)

    def _follow(self, keys: Iterable[Key] | None) -> None:
        """Tell which announcements are in the kernel now, and which are not any more."""
        state, announcements = self.desired.state, self.parts.announcements
        if keys is None:
            keys = {*state, *(Key(Table.ANNOUNCEMENT, (prefix,)) for prefix in announcements.followed)}
        ours = [key for key in keys if key.table is Table.ANNOUNCEMENT]
        present = {Prefix(key.name[0]) for key in ours if key in state and key not in self._wrong}
        announcements.follow(present, {Prefix(key.name[0]) for key in ours} - present)

    def _measure(self, outcome: Outcome, touched: Touched, disturbance: Disturbance, began: float) -> None:
        telemetry, now = self.telemetry, time.monotonic()
        telemetry.passes.inc()
        telemetry.pass_seconds.observe(now - began)
        if self._since is not None:
            telemetry.programmed_seconds.observe(now - self._since)
            self._since = None
        told = touched.keys if touched.keys is not None else frozenset(self.desired.state)
        for change in outcome.plan.changes:
            if change.key in disturbance.keys and change.key not in told:
                telemetry.repairs.labels(change.key.table.name.lower()).inc()
        for failure in outcome.failures:
            act = failure.step.act
            telemetry.failures.labels(act.key.table.name.lower() if isinstance(act, Change) else "conntrack").inc()
            telemetry.log.warning("host refused", step=str(failure.step.act), error=failure.error)
        telemetry.held.set(len(outcome.held))

    def _addresses(
        self, touched: Touched, keys: frozenset[Key] | None, retold: frozenset[Prefix]
    ) -> frozenset[Address]:
        addresses = set(touched.addresses) | {Address(prefix.partition("/")[0]) for prefix in retold}
        if keys is None:
            return frozenset(addresses | set(self.desired.verdicts))
        if keys and self._doubtful:
            addresses |= self.desired.concerned(self._doubtful).addresses
        return frozenset(addresses)

    def _seen(self, address: Address | None = None) -> Seen:
        outcome = self.last
        untold = self.parts.announcements.answer(host_prefix(address)) if address else None
        if outcome is None:
            return Seen(untold=untold)
        return Seen(outcome.wrong, outcome.failures, untold, self.parts.caution.cause)

    def _say_addresses(self, addresses: Iterable[Address]) -> None:
        node = self.desired.here.node
        for address in addresses:
            status = address_status(self.desired.wanted(address), self._seen(address))
            if status is None:
                self.reports.forget(f"status/{node}/address/{address}")
            else:
                self.reports.say(status)

    def _say_workloads(self, touched: Touched, keys: frozenset[Key] | None) -> None:
        workloads = set(touched.workloads)
        if keys and self._doubtful:
            workloads |= self.desired.concerned(self._doubtful).workloads
        for workload in workloads:
            status = workload_status(self.desired.wanted_workload(workload), self._seen())
            if status is None:
                self.reports.forget(f"status/{self.desired.here.node}/workload/{workload}")
            else:
                self.reports.say(status)

    def _delay(self) -> float:
        waits = [self.parts.announcements.due(), self._audit_due - time.monotonic()]
        if self._wrong:
            waits.append(self._retry)
        if (retry := self.parts.bird.retry_in()) is not None:
            waits.append(retry)
        return max(0.0, min(waits))
