# SPDX-License-Identifier: Apache-2.0
"""One node's agent: gathers what happened, runs the pass over it, and says what was then seen.

Promises: every status it says follows from an observation made after the last act,
and a pass in which nothing happened looks at nothing. The tricky thing: three clocks
meet here, documents, the kernel and BIRD, and each may speak before the others; so
each only adds to what the next pass looks at.
"""

import time
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from buoy.agent.announcements import Announcements
from buoy.agent.attached import AttachedHere
from buoy.agent.audit import Audit
from buoy.agent.caution import Caution
from buoy.agent.flows import FlowAudit
from buoy.agent.measures import Measures
from buoy.agent.reconcile import Outcome, reconcile
from buoy.agent.reliance import Reliance, announced
from buoy.agent.reports import Reports
from buoy.agent.speaking import BirdConfiguration
from buoy.agent.witness import identity, spoken
from buoy.dataplane.driver import Disturbance, Host
from buoy.model.address import Address, Prefix, host_prefix, is_host, split
from buoy.model.nodestate import Change, Class, Key, Table
from buoy.model.snapshot import Batch, Snapshot
from buoy.planner.desired import Desired, Touched
from buoy.planner.sight import Stir
from buoy.planner.status import Seen, address_status, workload_status
from buoy.planner.wanted import beneath
from buoy.runtime.telemetry import Telemetry

_RETRY_FIRST, _RETRY_LAST = 0.05, 5.0
_NOTHING = Touched(frozenset(), frozenset(), frozenset())


class Parts(NamedTuple):
    """What an agent is made of; put together by `run.py`, or by a test with a fake host."""

    host: Host
    announcements: Announcements
    bird: BirdConfiguration
    caution: Caution


class Agent:
    """The work of the loop; see `runtime/loop.py`."""

    def __init__(self, desired: Desired, parts: Parts, reports: Reports, telemetry: Telemetry) -> None:
        self.desired = desired
        self.parts = parts
        self.reports = reports
        self.telemetry = telemetry
        self.snapshot: Snapshot | None = None
        self.audit = Audit(parts.host.afresh)
        self.last: Outcome | None = None
        self.workloads: set[str] = set()
        """Paths of the workloads of this node."""
        self.service_ips: set[Address] = set()
        """Service IPs this node has a say on."""
        self._measures = Measures(telemetry)
        self._flows = FlowAudit(parts.host.flows)
        self._changed: set[str] | None = None
        self._overheard: set[str] = set()
        """Statuses of other nodes that the next update takes in, whenever there is one."""
        self._wrong: frozenset[Key] = frozenset()
        self._held: frozenset[Key] = frozenset()
        self._freed = False
        self._retry = _RETRY_FIRST
        self._late = Disturbance()
        self._reliance = Reliance(parts.host)
        self._attached = AttachedHere(desired.here.node, parts.host)

    def take(self, batch: Batch) -> bool:
        """Hear from the store; the next pass looks at it. Tell whether that is worth a pass of its own."""
        self.snapshot = batch.snapshot
        doubted = self._believe(batch)
        documents = batch.snapshot.documents
        node = self.desired.here.node
        paths = documents if batch.changed is None else batch.changed
        own = {path: documents.get(path) for path in paths if path.startswith(f"status/{node}/")}
        self.reports.heard(own, complete=batch.changed is None)
        self._count({path for path in paths if path.startswith(f"workloads/{node}/")}, complete=batch.changed is None)
        self.parts.bird.changed(batch.changed, batch.snapshot)
        changed = batch.changed or frozenset()
        aside = self._aside(changed)
        self._overheard |= aside
        rest = {path for path in changed - aside - own.keys() if not path.startswith("nodes/")}
        if batch.changed is None or doubted:
            self._changed = None
        elif self._changed is not None:
            self._changed |= rest
        if self._changed != set():
            self._measures.heard(time.monotonic())
        self.telemetry.store_up.set(1)
        # what is said of this node alone, as when its own statuses come back, is for `reports` and not for a pass
        return bool(batch.changed is None or rest or doubted or self._freed or self.parts.bird.retry_in() is not None)

    def _aside(self, paths: Iterable[str]) -> set[str]:
        """Return the statuses of other nodes that are about nothing here, as nearly all are: they wake nobody."""
        own = f"status/{self.desired.here.node}/"
        others = (path for path in paths if path.startswith("status/") and not path.startswith(own))
        return {path for path in others if not self.desired.concerns(path)}

    def _believe(self, batch: Batch) -> bool:
        """Let the guard hear who spoke and how; tell whether the store is doubted since."""
        caution, listed = self.parts.caution, batch.listed or batch.changed is None
        if not listed:
            self._freed |= caution.said(spoken(batch))
        seen = identity(batch.snapshot, self.desired.here.node)
        begins = caution.hear(seen, listed=listed, owners=self.desired.owners)
        if begins:
            self.telemetry.log.warning("removals are held", cause=caution.cause)
            self.parts.bird.distrust()
        return begins

    def _count(self, paths: set[str], *, complete: bool) -> None:
        documents = self.snapshot.documents if self.snapshot else {}
        self.workloads = set() if complete else self.workloads - paths
        self.workloads |= {path for path in paths if path in documents}

    def look_at_everything(self) -> None:
        """Let the next pass compute and compare everything anew."""
        self._changed = None

    def prefer(self, preference: Class) -> None:
        """Announce everything with this preference from the next pass on."""
        self.desired.prefer(preference)
        self.look_at_everything()

    def failed(self, error: Exception) -> None:
        """Hear that a pass raised."""
        self.telemetry.log.error("pass failed", error=str(error), kind=type(error).__name__)
        self.look_at_everything()

    def run_pass(self) -> float | None:
        """Run one pass; nothing happens on the host before the store has spoken once."""
        if self.snapshot is None:
            # sockets that are not read stay readable, and would wake the loop again and again
            self._late = self._disturbance()
            return None
        self._measures.pass_began(time.monotonic())
        looked_at, whole = self._audited(time.monotonic())
        disturbance = self._disturbance(looked_at)
        if self.parts.bird.configure(self.snapshot, doubted=bool(self.parts.caution.cause)):
            self.parts.announcements.doubt()
        touched = self._update(self.snapshot, disturbance)
        keys = self._keys(touched, disturbance)
        concerned = self._reconcile(touched, keys, disturbance) if keys is None or keys else _NOTHING
        self._flows.turn(self.desired, whole=whole or keys is None)
        retold = self._retold()
        self._say_addresses({*touched.addresses, *concerned.addresses, *retold})
        self._say_workloads({*touched.workloads, *concerned.workloads})
        self.reports.looked()
        if keys is None:
            self.audit.over(time.monotonic())
        # what the pass itself heard on the way has left the sockets, which will wake nobody for it
        self._late = self.parts.host.disturbances()
        return self._delay()

    def _audited(self, now: float) -> tuple[frozenset[Key], bool]:
        """Let the audit go on; return which keys to look at for that, and whether the whole node has been read."""
        everything = self._changed is None
        if everything or self.audit.begins(now):
            self.parts.bird.doubt()
        return (frozenset(), False) if everything else self.audit.turn(self.desired.state, now)

    def _disturbance(self, looked_at: frozenset[Key] = frozenset()) -> Disturbance:
        late, self._late = self._late, Disturbance()
        now = self.parts.host.disturbances()
        self._measures.restored(late.restored + now.restored)
        return Disturbance(
            looked_at | late.keys | now.keys,
            late.links | now.links,
            late.overrun or now.overrun,
            proxied=self._reliance.unhurried(late.proxied | now.proxied | self._reliance.fallen(), time.monotonic()),
            proxy=late.proxy or now.proxy,
            attached=self._attached.unhurried(late.attached | now.attached, time.monotonic()),
        )

    def _update(self, snapshot: Snapshot, disturbance: Disturbance) -> Touched:
        changed, self._changed = self._changed, set()
        stir = Stir(disturbance.links, disturbance.proxied, disturbance.proxy, disturbance.attached)
        if changed == set() and not stir:
            return _NOTHING
        self._attached.take(snapshot.documents, changed)
        if changed is None:
            self._reliance.recall(snapshot.documents)
        before = self.desired.computed
        overheard, self._overheard = self._overheard, set()
        paths = None if changed is None else frozenset(changed | overheard)
        touched = self.desired.update(snapshot, paths, self._attached.seen(self._reliance.sight()), stir)
        self.telemetry.subjects.inc(self.desired.computed - before)
        if touched.keys is None or touched.keys:
            self.parts.caution.rely()
        return touched

    def _keys(self, touched: Touched, disturbance: Disturbance) -> frozenset[Key] | None:
        if touched.keys is None or disturbance.overrun:
            return None
        keys = touched.keys | disturbance.keys | self._wrong | self._reliance.stirred(self._held, disturbance)
        keys |= beneath(self.desired.state, self._wrong)
        # what is held is looked at with whatever else is: else it would seem to be gone
        freed, self._freed = self._freed, False
        if freed and not self._held:
            self.parts.caution.let_go(whole=False, waits=bool(self.parts.bird.held))
        return keys | self._held if keys or freed else keys

    def _reconcile(self, touched: Touched, keys: frozenset[Key] | None, disturbance: Disturbance) -> Touched:
        """Run the pass over these keys; return whose status may have changed with what was seen."""
        judge = partial(self.parts.caution.judge, whole=keys is None, waits=bool(self.parts.bird.held))
        before = self.last
        outcome = reconcile(self.parts.host, self.desired, keys, self._reliance.freeing(judge))
        held = frozenset(step.act.key for step in outcome.held if isinstance(step.act, Change))
        wrong = frozenset(mismatch.key for mismatch in outcome.wrong) - held
        self._retry = min(self._retry * 2, _RETRY_LAST) if wrong else _RETRY_FIRST
        refused = {failure.step.act.key for failure in outcome.failures if isinstance(failure.step.act, Change)}
        # what was wrong before may be right now: both change what is said
        doubtful = self._wrong | wrong | refused
        same = (wrong, outcome.failures) == (self._wrong, before.failures if before else ())
        self._wrong, self.last = wrong, outcome
        self._follow(keys)
        told = touched.keys if touched.keys is not None else frozenset(self.desired.state)
        self._measures.reconciled(outcome, disturbance.keys - told, time.monotonic())
        concerned = _NOTHING if same or not doubtful else self.desired.concerned(doubtful)
        if keys is None:
            concerned = self._everybody(concerned)
        until_now, self._held = self._held, held
        if not held:
            self.parts.caution.let_go(whole=keys is None, waits=bool(self.parts.bird.held))
        return Touched(None, concerned.addresses | announced(until_now | held), concerned.workloads)

    def _everybody(self, concerned: Touched) -> Touched:
        """Return all addresses, and whoever is still spoken of: a pass that failed could not take its word back."""
        names = [path.rsplit("/", 2)[1:] for path in self.reports.statuses]
        addresses = {Address(name) for kind, name in names if kind == "address"}
        workloads = {name for kind, name in names if kind == "workload"}
        return Touched(None, frozenset(addresses | self.desired.verdicts.keys()), concerned.workloads | workloads)

    def _follow(self, keys: Iterable[Key] | None) -> None:
        """Tell which announcements are in the kernel now, and which are not any more."""
        state, announcements = self.desired.state, self.parts.announcements
        if keys is None:
            keys = {*state, *(Key(Table.ANNOUNCEMENT, (prefix,)) for prefix in announcements.followed)}
        ours = [key for key in keys if key.table is Table.ANNOUNCEMENT]
        present = {Prefix(key.name[0]) for key in ours if key in state and key not in self._wrong}
        gone = {Prefix(key.name[0]) for key in ours} - present
        announcements.follow(present, gone)
        self._reliance.follow(present, gone, state, self.desired.snapshot.documents)
        self._measures.announced([prefix for prefix in present if announcements.answer(prefix) is not None], gone)

    def _retold(self) -> frozenset[Address]:
        """Return the addresses of which the peers' knowledge has changed."""
        announcements = self.parts.announcements
        retold = announcements.look()
        self.parts.host.uplinks.follow([session.address for session in announcements.sessions])
        self._measures.told({prefix for prefix in retold if announcements.answer(prefix) is None}, time.monotonic())
        self._measures.sessions(announcements.sessions)
        return frozenset(split(prefix)[0] for prefix in retold if is_host(prefix))

    def _seen(self, address: Address | None = None) -> Seen:
        outcome = self.last
        untold = self.parts.announcements.answer(host_prefix(address)) if address else None
        if outcome is None:
            return Seen(untold=untold)
        return Seen(outcome.wrong, outcome.failures, untold, self.parts.caution.cause)

    def _say_addresses(self, addresses: Iterable[Address]) -> None:
        node = self.desired.here.node
        doubtful = self.last is None or bool(self.last.wrong or self.last.failures)
        for address in addresses:
            status = address_status(self.desired.wanted(address, keys_matter=doubtful), self._seen(address))
            if status is None:
                self.service_ips.discard(address)
                self.reports.forget(f"status/{node}/address/{address}")
                continue
            if f"service-ips/{address}" in self.desired.snapshot.documents:
                self.service_ips.add(address)
            self.reports.say(status)

    def _say_workloads(self, workloads: Iterable[str]) -> None:
        for workload in workloads:
            status = workload_status(self.desired.wanted_workload(workload), self._seen())
            if status is None:
                self.reports.forget(f"status/{self.desired.here.node}/workload/{workload}")
            else:
                self.reports.say(status)

    def _delay(self) -> float:
        if self._late != Disturbance() or self._flows.going_on:
            return 0.0
        at = time.monotonic()
        waits = [self.parts.announcements.due(), self.audit.wait(at), self._reliance.wait(at), self._attached.wait(at)]
        waits += [self._retry] if self._wrong else []
        if (retry := self.parts.bird.retry_in()) is not None:
            waits.append(retry)
        return max(0.0, min(waits))
