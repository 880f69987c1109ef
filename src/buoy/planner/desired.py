# SPDX-License-Identifier: Apache-2.0
"""What this node is to hold, kept up to date by looking only at what changed.

Promises that after any sequence of updates the state equals the one computed from
scratch (`tests/properties/test_desired.py`), and that a change computes as many
subjects on a node with 10,000 service IPs as on one with 100.

How: a changed path, link or seat names the subjects to compute again (`index.py`);
each subject's wish replaces its former one (`wishes.py`); where wishes meet, the
rank decides (`contest.py`). Subjects that exist only because others need them come
after those, kind by kind, so each is computed at most once in an update.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from buoy.model.address import Address
from buoy.model.nodestate import Class, Entry, Key, NodeState, Table
from buoy.model.reason import Withhold
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.workload import Workload
from buoy.planner.contest import Bid, Contest, Subject
from buoy.planner.elsewhere import Elsewhere, word
from buoy.planner.index import (
    NOTHING,
    Dependents,
    Facts,
    Reader,
    Wish,
    announced_fact,
    announcers_fact,
    seat_fact,
    seats,
    stirred,
)
from buoy.planner.policy import combination_wish, group_wish, member_wish, membership
from buoy.planner.sight import Sight, Stir
from buoy.planner.verify import Mismatch
from buoy.planner.wanted import Wanted, address_keys, baseless, workload_keys
from buoy.planner.wishes import Here, eligibility_wish, service_ip_wish, settings_wish, subnet_wish, workload_wish

_DERIVED = {"combination": 1, "groups": 2, "members": 3}
"""Kinds of subjects that exist only while needed, in the order of who needs whom."""

_EMPTY = Snapshot(Identity("", 0), {}, {}, {})
_STILL = Stir()


class Touched(msgspec.Struct, frozen=True):
    """What an update may have changed: keys (None: all), and whose status to derive anew."""

    keys: frozenset[Key] | None
    addresses: frozenset[Address]
    workloads: frozenset[str]


class Desired:
    """The desired state of one node; `computed` counts subjects, for the test of the promise above."""

    def __init__(self, here: Here) -> None:
        self.computed = 0
        self.snapshot = _EMPTY
        self.sight = Sight()
        self._roots = f"workloads/{here.node}"
        self._know(here)
        self._clear()

    def prefer(self, preference: Class) -> None:
        """Announce with this preference from the next update of everything on."""
        self._know(msgspec.structs.replace(self.here, preference=preference))

    def _know(self, here: Here) -> None:
        self.here = here
        self._compute: dict[str, Callable[[Subject, Reader], Wish]] = {
            "service-ips": partial(service_ip_wish, here),
            self._roots: partial(workload_wish, here),
            "subnets": partial(subnet_wish, here),
            "eligibility": partial(eligibility_wish, here),
            "settings": partial(settings_wish, here),
            "combination": combination_wish,
            "groups": group_wish,
            "members": member_wish,
        }

    def _clear(self) -> None:
        self._wishes: dict[Subject, Wish] = {}
        self._entries: Contest[Key, Entry] = Contest()
        self._verdicts: Contest[Address, Withhold | None] = Contest()
        self._seats: Contest[str, None] = Contest()
        self._sitting: dict[Subject, Mapping[str, Bid[None]]] = {}
        self._elsewhere = Elsewhere(self.here.node)
        self._dependents = Dependents()
        self._needed: dict[Subject, set[Subject]] = {}
        """Who needs a subject that exists only while it is needed."""
        self._members: defaultdict[Subject, set[Subject]] = defaultdict(set)

    @property
    def state(self) -> NodeState:
        """Every entry this node is to hold; live, so do not keep it over an update."""
        return MappingProxyType(self._entries.won)

    def owners(self) -> Mapping[Key, Subject]:
        """Return what each entry of the state comes from: a document's path, or a subject derived from some."""
        return {key: self._entries.holder(key) or "" for key in self._entries.won}

    @property
    def verdicts(self) -> Mapping[Address, Withhold | None]:
        """Every address the store speaks of: None if it is placed here, else why it is not."""
        return MappingProxyType(self._verdicts.won)

    @property
    def withheld(self) -> Mapping[Address, Withhold]:
        """The addresses that are not placed here, and why."""
        return {address: verdict for address, verdict in self.verdicts.items() if verdict is not None}

    @property
    def aggregates_withheld(self) -> Withhold | None:
        """Why this node does not announce the prefixes of Services that are named, None if it announces all."""
        return self.wish("settings/bgp").refused

    def wish(self, subject: Subject) -> Wish:
        """Return what a subject wants, nothing if it wants nothing or is unknown."""
        return self._wishes.get(subject, NOTHING)

    def holder(self, seat: str) -> Subject | None:
        """Return which document holds an address or interface on this node."""
        return self._seats.holder(seat)

    def reader(self) -> Reader:
        """Return a way to all the facts, for whoever explains."""
        return Reader("", self._facts())

    def concerns(self, path: str) -> bool:
        """Tell whether another node's status is about an address that is served here."""
        said = word(path)
        facts = (announcers_fact(said.address), announced_fact(said.address)) if said is not None else ()
        return any(map(self._dependents.read, facts))

    def wanted(self, address: Address, *, keys_matter: bool = True) -> Wanted:
        """Return what an address needs here, or why it is withheld; no keys if nothing seen is wrong by any."""
        keys = address_keys(self, address) if keys_matter else frozenset()
        subjects = {f"service-ips/{address}", *filter(None, {self.holder(address)})}
        revision = max(self.snapshot.revisions.get(subject, 0) for subject in subjects)
        known = address in self._verdicts.won
        return Wanted(self.here.node, address, keys, self._verdicts.won.get(address), revision, known)

    def wanted_workload(self, workload: str) -> Wanted:
        """Return what a workload needs here, or why it is not served as a whole; answers its own revision."""
        subject = f"{self._roots}/{workload}"
        document = self.snapshot.documents.get(subject)
        revision = document.revision if isinstance(document, Workload) else 0
        keys, wish = workload_keys(self, subject), self.wish(subject)
        return Wanted(self.here.node, workload, keys, wish.refused, revision, wish is not NOTHING)

    def guards(self, group: str) -> frozenset[Key]:
        """Return the guards of the interfaces here that have a group."""
        combinations = self._needed.get(f"groups/{group}", ())
        ports = {port for combination in combinations for port in self._needed.get(combination, ())}
        documents = (self.snapshot.documents.get(port) for port in ports)
        return frozenset(Key(Table.GUARD, (port.interface,)) for port in documents if isinstance(port, Workload))

    def referring(self, group: str) -> frozenset[str]:
        """Return the groups in use here with a rule that names a group."""
        return frozenset(subject.removeprefix("groups/") for subject in self._needed.get(membership(group), ()))

    def baseless(self, announced: Collection[Key], wrong: Collection[Mismatch]) -> frozenset[Key]:
        """Return which of these announcements must wait, for something they need is not as wanted."""
        return baseless(self, announced, {mismatch.key for mismatch in wrong})

    def concerned(self, keys: Collection[Key]) -> Touched:
        """Return whose status depends on these keys; looks at everything, for the rare case of damage."""
        wrong = frozenset(keys)
        addresses = frozenset(address for address in self._verdicts.won if wrong & address_keys(self, address))
        subjects = [subject for subject in self._wishes if self._kind(subject) == self._roots]
        workloads = self._workloads([subject for subject in subjects if wrong & workload_keys(self, subject)])
        return Touched(wrong, addresses, workloads)

    def update(
        self,
        snapshot: Snapshot,
        changed: frozenset[str] | None,
        sight: Sight,
        stir: Stir = _STILL,
    ) -> Touched:
        """Take in changed documents, and what is seen now and what of it changed.

        `changed` None means: forget what was, compute everything.
        """
        self.snapshot, self.sight = snapshot, sight
        if changed is None:
            before = Touched(None, frozenset(self._verdicts.won), self._workloads(self._wishes))
            self._clear()
            after = self._take(frozenset(snapshot.documents), stir)
            return Touched(None, before.addresses | after.addresses, before.workloads | after.workloads)
        return self._take(changed, stir)

    def _facts(self) -> Facts:
        said = self._elsewhere
        return Facts(self.snapshot, self.sight, self._seats, said.announcers, said.announced)

    def _take(self, changed: frozenset[str], stir: Stir) -> Touched:
        facts = {*changed, *stirred(stir), *self._reseat(changed), *self._overhear(changed)}
        self._enrol(changed)
        waiting: list[set[Subject]] = [set(), set(), set(), set()]
        for subject in changed | self._dependents.of(facts):
            self._wait(waiting, subject)
        computed: set[Subject] = set()
        keys: set[Key] = set()
        addresses: set[Address] = set()
        reading = self._facts()
        for subjects in waiting:
            for subject in subjects:
                before, after = self.wish(subject), self._computed(subject, reading)
                self._replace(subject, before, after, waiting)
                keys |= before.entries.keys() | after.entries.keys()
                addresses |= before.verdicts.keys() | after.verdicts.keys()
            computed |= subjects
        return Touched(frozenset(keys), frozenset(addresses), self._workloads(computed))

    def _reseat(self, changed: Iterable[str]) -> set[str]:
        """Let changed documents claim their seats; return the facts about seats that changed with that."""
        facts = set()
        for path in changed:
            document = self.snapshot.documents.get(path)
            before = self._sitting.pop(path, {})
            after = seats(document, self.here.node, self.snapshot.revisions.get(path, 0))
            if after:
                self._sitting[path] = after
            facts |= {seat_fact(seat) for seat in self._seats.replace(path, before, after)}
        return facts

    def _overhear(self, changed: Iterable[str]) -> set[str]:
        """Take what other nodes say; return the facts that changed with that."""
        documents = self.snapshot.documents
        statuses = (path for path in changed if path.startswith("status/"))
        return {fact for path in statuses for fact in self._elsewhere.take(path, documents.get(path))}

    def _enrol(self, changed: Iterable[str]) -> None:
        """Keep which members a group has, for the moment when somebody needs them."""
        for path in changed:
            kind, _, rest = path.partition("/")
            if kind != "members":
                continue
            group = membership(rest.partition("/")[0])
            if path in self.snapshot.documents:
                self._members[group].add(path)
            else:
                self._members[group].discard(path)
            if not self._members[group]:
                del self._members[group]

    def _kind(self, subject: Subject) -> str:
        kind = subject.partition("/")[0]
        return subject.rpartition("/")[0] if kind == "workloads" else kind

    def _wait(self, waiting: list[set[Subject]], subject: Subject) -> None:
        kind = self._kind(subject)
        if kind in self._compute:
            waiting[_DERIVED.get(kind, 0)].add(subject)

    def _is_wanted(self, subject: Subject) -> bool:
        kind, _, rest = subject.partition("/")
        if kind == "members":
            return membership(rest.partition("/")[0]) in self._needed
        return kind not in _DERIVED or subject in self._needed

    def _computed(self, subject: Subject, facts: Facts) -> Wish:
        reader = Reader(subject, facts)
        wish = NOTHING
        if self._is_wanted(subject):
            self.computed += 1
            wish = self._compute[self._kind(subject)](subject, reader)
        self._dependents.note(subject, reader.read)
        return wish

    def _replace(self, subject: Subject, before: Wish, after: Wish, waiting: list[set[Subject]]) -> None:
        self._entries.replace(subject, before.entries, after.entries)
        self._verdicts.replace(subject, before.verdicts, after.verdicts)
        if after is NOTHING:
            self._wishes.pop(subject, None)
        else:
            self._wishes[subject] = after
        for needed in before.needs ^ after.needs:
            users = self._needed.setdefault(needed, set())
            was = bool(users)
            (users.add if needed in after.needs else users.discard)(subject)
            if not users:
                del self._needed[needed]
            if was != bool(users):
                for woken in self._members.get(needed, ()) if needed.startswith("membership/") else (needed,):
                    self._wait(waiting, woken)

    def _workloads(self, subjects: Collection[Subject]) -> frozenset[str]:
        return frozenset(subject.rpartition("/")[2] for subject in subjects if self._kind(subject) == self._roots)
