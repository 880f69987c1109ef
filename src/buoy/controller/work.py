# SPDX-License-Identifier: Apache-2.0
"""The controller's pass: of every object that changed decide what is to be written, and have it written.

Promises that an object has at most one decision under way, and one that fails is
decided anew, never repeated; that what nobody changed costs nothing. The tricky thing
is how many are under way: few, for a decision that waits to be written grows old.
"""

import asyncio
import datetime as dt
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from buoy.controller.answer import answer, causes
from buoy.controller.asking import request_of, request_of_ingress
from buoy.controller.contest import MESSAGE, REASON, Contest, Entries
from buoy.controller.decide import decide, releases
from buoy.controller.events import Events
from buoy.controller.floating import Outcome, decide_floating
from buoy.controller.fronts import NOT_SERVED, unserved
from buoy.controller.losses import found_again
from buoy.controller.metrics import Metrics
from buoy.controller.objects import Service
from buoy.controller.perform import perform
from buoy.controller.reading import Holder
from buoy.controller.retry import Retry
from buoy.controller.step import Publish, Step, Take, Tell
from buoy.controller.subject import Answer, Claim, Granted, Refused, Subject
from buoy.controller.upkeep import upkeep
from buoy.controller.world import INGRESS, LOSS, MEMORY, SERVICE, World
from buoy.controller.writes import Writes
from buoy.ipam.allocate import allocate
from buoy.ipam.request import Allocation, Request
from buoy.model.errors import BuoyError, StoreUnavailable
from buoy.model.service_ip import Identity, Owner

UNDER_WAY = 12
"""Objects written at once: fewer than the calls a client makes at once, so that none waits for its place."""
AT_ONCE = 500
"""Objects looked at before others of the process have their turn."""

_LONGEST = 30.0


class Tools(NamedTuple):
    """What the work is done with; `clock` gives the time in UTC."""

    writes: Writes
    events: Events
    metrics: Metrics
    clock: Callable[[], dt.datetime]


class Work:
    """Passes over a world, to be driven by a `Loop`; `wake` asks for one."""

    def __init__(self, world: World, tools: Tools, wake: Callable[[], None]) -> None:
        self.world = world
        self.retry = Retry()
        self._contest = Contest()
        self._tools = tools
        self._wake = wake
        self._refused: dict[Identity, Identity] = {}
        """Which pod of an owner was told that something is refused."""
        self._under_way: dict[Identity, asyncio.Task[None]] = {}
        self._looking: Identity | None = None
        self._failures: list[tuple[Identity, Exception]] = []

    def run_pass(self) -> float | None:
        """Look at what changed; return in how many seconds something will be due."""
        now = self._tools.clock()
        if self._failures:
            self._looking, error = self._failures.pop()
            raise error
        world = self.world
        world.expire(now)
        world.touch(self.retry.due(now))
        self._tools.events.repeat()
        if not self.retry.is_away(now):
            self._looks(now)
        self._tools.metrics.waiting.set(len(world.waiting))
        return self._delay(now)

    def _looks(self, now: dt.datetime) -> None:
        changed = self.world.changed
        for identity in tuple(itertools.islice(changed, AT_ONCE)):
            if len(self._under_way) >= UNDER_WAY:
                return
            if identity not in self._under_way:
                del changed[identity]
                # one in a pause is found again at its end
                if not self.retry.waits(identity, now):
                    self._looking = identity
                    self._look(identity, now)
        self._looking = None

    def _delay(self, now: dt.datetime) -> float:
        ready = len(self._under_way) < UNDER_WAY and not self.retry.is_away(now)
        if ready and any(identity not in self._under_way for identity in self.world.changed):
            return 0.0
        moments = (self.world.holds.next(), self.world.memories.next(), self.retry.next(now))
        waits = [(moment - now).total_seconds() for moment in moments if moment is not None]
        return max(0.0, min(waits, default=_LONGEST))

    def failed(self, error: Exception) -> None:
        """Note a failure of the pass; the object it failed at is looked at again, and the others meanwhile."""
        self._tools.metrics.log.error("pass failed", object=str(self._looking), exc_info=error)
        if self._looking is not None:
            self.retry.later(self._looking, self._tools.clock())

    @property
    def rests(self) -> bool:
        """Whether nothing is to be looked at, and nothing is under way."""
        return not self.world.changed and not self._under_way

    async def stop(self) -> None:
        """End what is under way: what is written is written, the rest is decided anew by whoever leads next."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self, identity: Identity, now: dt.datetime) -> None:
        self._tools.metrics.looked_at.inc()
        if identity.kind in {MEMORY, LOSS}:
            self._keep_up(identity, now)
            return
        if identity.kind not in {SERVICE, INGRESS}:
            self._look_at_pods(identity, decide_floating(identity, self.world, now))
            return
        world = self.world
        holder, claims = world.found(identity), world.books.of(identity)
        if holder is None:
            self._rest(identity)
            owner = Owner(
                kind=identity.kind, namespace=identity.namespace, name=identity.name, cluster=identity.cluster
            )
            self._begin(owner, None, releases(identity, claims, now))
            return
        subject = world.subject(identity, holder)
        found = self._ask(subject, holder, now)
        if isinstance(found, Granted):
            found = found._replace(claims=tuple(found_again(each, world.found) for each in found.claims))
            # an address that somebody else had, or has too: its claim is written over as it stands
            given = (document.address for document in (*found.claims, *found.externals))
            known = {claim.document.address: claim for claim in claims}
            others = (world.books.claims.get(at) for at in given if at not in known)
            claims = (*claims, *(claim for claim in others if claim is not None))
        steps = decide(subject, claims, found, now)
        if self._is_contested(subject, steps, now):
            return
        self._begin(subject.owner, holder, steps)

    def _look_at_pods(self, identity: Identity, found: Outcome) -> None:
        """Have done what was decided for an owner of pods, and one of them told."""
        self.world.waiting.wait(identity, found.causes)
        told, refused = found.told, found.refused
        before = self._refused.pop(identity, None)
        if before is not None and (refused is None or told is None or before != told.identity):
            self._tools.events.fall(before)
        if told is not None and refused is not None:
            self._refused[identity] = told.identity
            if self._tools.events.stand(told, refused):
                self.did(refused, None, told)
        owner = Owner(kind=identity.kind, namespace=identity.namespace, name=identity.name, cluster=identity.cluster)
        self._begin(owner, None, found.steps, told)

    def _is_contested(self, subject: Subject, steps: tuple[Step, ...], now: dt.datetime) -> bool:
        """Tell whether all there is to do is to put a status right, and that is to wait, for it was in vain."""
        identity = subject.owner.identity
        if not (len(steps) == 1 and isinstance(steps[0], Publish) and steps[0].ingress is not None):
            return False
        until = self._contest.until(identity, self._ours(steps[0].ingress), now)
        if until is None:
            return False
        self._tools.metrics.contested.inc()
        self.retry.at(identity, until)
        self.did(Tell(True, REASON, MESSAGE), None, subject.owner)
        return True

    def _ours(self, entries: Entries) -> Entries:
        """Return the entries of a status that somebody has of us; what others add beside them is no news."""
        return tuple(each for each in entries if each.get("ip") in self.world.books.claims)

    def _ask(self, subject: Subject, holder: Holder, now: dt.datetime) -> Answer | None:
        """Return what an object is to have, None if nothing; note what it lacks."""
        identity, books = subject.owner.identity, self.world.books
        if not subject.wants:
            self._rest(identity)
            return None
        request = self._request(subject, holder)
        if isinstance(request, Refused):
            # who serves it is looked at with it, whenever that changes
            self.world.waiting.stop(identity)
            self._stand(subject, request)
            return request
        allocation = allocate(request, books.ledger, now)
        self.world.waiting.wait(identity, causes(allocation))
        if isinstance(allocation, Allocation) and not (
            allocation.addresses or allocation.externals or allocation.lacking
        ):
            # what it names itself is of no pool of ours
            return None
        found = answer(request, allocation, books.ledger, books.claims)
        self._stand(subject, found)
        return found

    def _request(self, subject: Subject, holder: Holder) -> Request | Refused:
        world = self.world
        namespace = world.namespaces.get(holder.metadata.namespace)
        if isinstance(holder, Service):
            return request_of(holder, namespace, world.ours, world.shows(subject))
        name = world.fronts.service(holder)
        service = world.services.get(name) if name else None
        if service is not None and world.ours.balances(service):
            return request_of_ingress(holder, service, namespace, world.ours)
        return Refused(NOT_SERVED, unserved(holder, name, exists=service is not None))

    def _rest(self, identity: Identity) -> None:
        """Note that an object wants nothing."""
        self.world.waiting.stop(identity)
        self._contest.forget(identity)
        self._tools.events.fall(identity)

    def _stand(self, subject: Subject, found: Answer) -> None:
        """Have a *no* said for as long as it stands."""
        if isinstance(found, Granted) and not found.warning:
            self._tools.events.fall(subject.owner.identity)
            return
        said = found.said if isinstance(found, Granted) else found
        tell = Tell(True, said.reason, said.message)
        if self._tools.events.stand(subject.owner, tell) and not subject.is_service:
            # an Ingress has no condition that tells whether it was told
            self.did(tell, None, subject.owner)

    def _begin(self, owner: Owner, holder: Holder | None, steps: tuple[Step, ...], told: Owner | None = None) -> None:
        """Begin to write; `told` is whom Events are about, if not the owner."""
        identity = owner.identity
        if not steps:
            self.retry.done(identity)
            return
        takes = [step for step in steps if isinstance(step, Take)]
        for take in takes:
            self.world.books.assume(take.document)
        work = self._write(identity, perform(told or owner, holder, steps, self._tools.writes, self.did), takes)
        self._spawn(identity, work)

    def _spawn(self, identity: Identity, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=str(identity))
        self._under_way[identity] = task
        task.add_done_callback(lambda ended: self._ended(identity, ended))

    def _ended(self, identity: Identity, task: asyncio.Task[None]) -> None:
        self._under_way.pop(identity, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # what nobody expected is the loop's to tell
            self._failures.append((identity, error))
        self._wake()

    async def _write(self, identity: Identity, work: Coroutine[Any, Any, None], takes: list[Take]) -> None:
        try:
            await work
        except StoreUnavailable as error:
            self._tools.metrics.failed(identity, error)
            self.retry.away(self._tools.clock())
            self.world.touch([identity])
        except BuoyError as error:
            self._tools.metrics.failed(identity, error)
            self.retry.later(identity, self._tools.clock())
        else:
            self.retry.done(identity)
        finally:
            for take in takes:
                self.world.give_up(take.document.address)

    def _keep_up(self, identity: Identity, now: dt.datetime) -> None:
        work = upkeep(identity, self.world, self._tools.writes, now)
        if work is not None:
            self._spawn(identity, self._write(identity, work, []))

    def did(self, step: Step, outcome: Holder | Claim | None, owner: Owner) -> None:
        """Hear of a step that was done, and of what the object is after it."""
        self._tools.metrics.wrote(step)
        if isinstance(step, Publish) and step.ingress is not None:
            self._contest.published(owner.identity, self._ours(step.ingress), self._tools.clock())
        if isinstance(outcome, Claim):
            self.world.claim(outcome)
        elif outcome is not None:
            self.world.holder(outcome)
        if isinstance(step, Tell):
            self._tools.metrics.told(owner.identity, step)
            self._tools.events.tell(owner, step)
