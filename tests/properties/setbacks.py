# SPDX-License-Identifier: Apache-2.0
"""A store with backups, its writers, and one node's agent that is killed at any step: what the guard is for.

One address is one document and one entry. `meant` is what living writers last said,
`ended` and `heard` are when one was last deleted by a person and last in the agent's
view; `suspects` is what the node held and the store did not have between a restore
and the next look: all that anybody could ever doubt.
"""

import random
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.model.address import Address
from buoy.model.nodestate import Change, Dnat, Key, Phase, Step, Table
from buoy.model.snapshot import Identity
from buoy.planner.plan import Plan

NAMES = tuple(f"198.51.100.{number}" for number in range(5))
WITNESS = "witness"
Tell = Callable[[Identity], Identity]


def key(name: str) -> Key:
    return Key(Table.DNAT, (name,))


class Store(msgspec.Struct):
    """Paths with the revision that wrote them, and since the last restore what happened to which path when."""

    revision: int = 1
    held: dict[str, int] = {}
    log: list[tuple[int, str]] = []

    def put(self, path: str, *, there: bool = True) -> None:
        self.revision += 1
        self.log.append((self.revision, path))
        self.held.pop(path, None)
        if there:
            self.held[path] = self.revision

    def copy(self) -> "Store":
        return Store(self.revision, dict(self.held), [])

    @property
    def names(self) -> set[str]:
        return self.held.keys() - {WITNESS}


class Agent:
    """One agent process; `tell` plants a mistake in what it hears."""

    def __init__(self, path: Path, host: set[str], tell: Tell) -> None:
        self.caution = Caution(Kept(str(path), stride=20))
        self.host = host
        self.view: dict[str, int] = {}
        self.held: set[str] = set()
        self.unheard = True
        """Whether it must list before it hears anything."""
        self._tell = tell
        self._told = 0
        self._touched: set[str] | None = None
        self._freed = False
        self._wanted: set[str] = set()

    def hear(self, store: Store) -> None:
        """Hear everything that is new, by a listing or by a watch."""
        changed = {path for revision, path in store.log if revision > self._told}
        listed, self.unheard = self.unheard, False
        if not listed and not changed:
            return
        if listed:
            changed = self.view.keys() | store.held.keys()
        else:
            self._freed |= self.caution.said(changed)
        self.view, self._told = dict(store.held), store.revision
        seen = self._tell(Identity("store", store.revision, self.view.get(WITNESS, 0)))
        wanted = {key(name): name for name in self._wanted}
        if self.caution.hear(seen, listed=listed, owners=lambda: wanted):
            self._touched = None
        if self._touched is not None:
            self._touched |= changed - {WITNESS}

    def act(self) -> None:
        """Run one pass: add what is new, remove what is gone and not held."""
        if not self._told:
            return
        wanted = self.view.keys() - {WITNESS}
        touched = None if self._touched is None else self._touched & (self._wanted | wanted)
        whole, freed = touched is None, self._freed
        looked = (touched or set()) | self.held if touched or freed else set()
        self._touched, self._wanted, self._freed = set(), wanted, False
        if whole or touched:
            self.caution.rely()
        if not whole and not looked:
            return
        looked = self.host | wanted if whole else looked
        steps = [Step(Phase.SWEEP, Change(key(name), Dnat(Address("192.0.2.1")), None)) for name in self._gone(looked)]
        guarded = self.caution.judge(Plan(tuple(steps)), whole=whole)
        self.host |= looked & wanted
        self.host -= {change.key.name[0] for change in guarded.plan.changes}
        self.held = {held.name[0] for held in guarded.serving}

    def _gone(self, looked: Collection[str]) -> list[str]:
        return sorted(self.host & set(looked) - self._wanted)


class World:
    """Store, writers, backups and one node; each method without arguments is a step that chance may take."""

    def __init__(self, chance: random.Random, directory: Path, tell: Tell = lambda seen: seen) -> None:
        self.chance = chance
        self.store = Store()
        self.backups: list[Store] = []
        self.meant: set[str] = set()
        self.host: set[str] = set()
        self.now = 0
        self.ended: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.suspects: set[str] = set()
        self.restored = False
        """Whether the store was set back and no look has followed yet."""
        self._kept = directory / "store.json"
        self._tell = tell
        self._late: list[int] = []
        self._witnessed = 0
        """The revision of the witness when the node last had the time to write it and to keep that."""
        self.agent: Agent | None = None

    def add(self) -> None:
        name = self.chance.choice(NAMES)
        self.meant.add(name)
        self.store.put(name)

    def take(self) -> None:
        """Let a person delete an address; where the store lacks it already, nobody hears of that."""
        name = self.chance.choice(NAMES)
        self.meant.discard(name)
        self.ended[name] = self.now
        if name in self.store.held:
            self.store.put(name, there=False)

    def compare(self) -> None:
        for name in sorted(self.meant - self.store.names):
            self.store.put(name)

    def push(self) -> None:
        for _ in range(self.chance.choice((1, 30))):
            self.store.put("elsewhere", there=False)

    def back_up(self) -> None:
        self.backups.append(self.store.copy())

    def restore(self) -> None:
        """Set the store back, if the node's witness is on disk as promised, and let others write."""
        if self.chance.random() < 0.5:
            self.calm()
        if not self.backups:
            return
        backup = self.chance.choice(self.backups)
        lost = self.host - backup.names
        if lost and self._witnessed <= backup.held.get(WITNESS, 0):
            return
        # no write of before outlives the server that it was sent to
        self.store, self._late, self.restored, self._witnessed = backup.copy(), [], True, 0
        if self.agent:
            self.agent.unheard = True
        for _ in range(self.chance.choice((0, 1, 2, 40))):
            self.store.put("elsewhere", there=False)

    def start(self) -> None:
        self.agent = self.agent or Agent(self._kept, self.host, self._tell)

    def kill(self) -> None:
        self.agent = None

    def cut(self) -> None:
        """Let the watch fall so far behind that it lists."""
        if self.agent:
            self.agent.unheard = True

    def hear(self) -> None:
        if self.agent:
            self.agent.hear(self.store)
            self.heard |= dict.fromkeys(self.agent.view, self.now)

    def act(self) -> None:
        if self.agent and not (self.restored and self.agent.unheard):
            self.agent.act()
            self.restored &= self.agent.unheard

    def settle(self) -> None:
        if self.agent:
            self.agent.caution.settle()

    def witness(self) -> None:
        """Write the witness; the write may arrive late, after others, or never."""
        if self.agent and self.agent.caution.unwitnessed:
            self._late.append(self.agent.view.get(WITNESS, 0))
            if self.chance.random() < 0.6:
                self.land()

    def land(self) -> None:
        """Let a write of the witness arrive; it is made only where the witness is what its writer was told."""
        if self._late and self._late.pop(self.chance.randrange(len(self._late))) == self.store.held.get(WITNESS, 0):
            self.store.put(WITNESS)

    def calm(self) -> None:
        """Let the agent, if there is one, do all it does within a few seconds."""
        if self.agent is None:
            return
        self._late = []
        for step in (self.hear, self.act, self.settle):
            step()
        if self.agent.caution.unwitnessed:
            self._late = [self.agent.view.get(WITNESS, 0)]
            self.land()
        self.hear()
        self.settle()
        self._witnessed = self.store.held.get(WITNESS, 0)

    def note(self) -> None:
        """Let time go by; take down, between a restore and the next look, what is there and not in the store."""
        self.now += 1
        if self.restored:
            self.suspects |= self.host - self.store.names


STEPS = (
    *(World.add, World.add, World.take, World.take, World.compare, World.push, World.back_up, World.restore),
    *(World.start, World.start, World.kill, World.cut, World.hear, World.hear, World.act, World.act),
    *(World.settle, World.witness, World.witness, World.restore, World.land, World.calm),
)
"""What chance may do next; what is there twice is likelier."""
