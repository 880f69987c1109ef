# SPDX-License-Identifier: Apache-2.0
"""Driver of everything in table `inet buoy`.

Promises: policy, NAT maps and chains change in transactions; observation of
keys costs no system call, because the mirror knows our own acknowledged writes
and every notification of others; a table damaged by another's hand gets its
static part back in `disturbances`, and what was in it is reported as changed.
The tricky thing: equality is by footprint, since a set knows neither the order
of sources nor networks nested in others.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from buoy.dataplane import netlink, nft_text, nft_wire
from buoy.dataplane.driver import Disturbance
from buoy.dataplane.nft_chains import CHAINS, Chains, chains_of
from buoy.dataplane.nft_commit import Commit, prefix_set
from buoy.dataplane.nft_elements import FOREIGN, STATIC, elements, entry_of, guard_of, ifname, kind, place, prefix_key
from buoy.dataplane.nft_prefixes import covered, interval, outermost, prefixes_of
from buoy.dataplane.nft_table import NftTable, keys_of
from buoy.dataplane.nft_wire import Kind
from buoy.model.address import Prefix
from buoy.model.errors import DataplaneError
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Change,
    Combination,
    Entry,
    Failure,
    GroupMember,
    GroupRules,
    Internal,
    Key,
    NodeState,
    PortGuard,
    Step,
    Stray,
    Table,
)
from buoy.model.ownership import NFT_TABLE
from buoy.render import nft as text
from buoy.render.nft_names import identity

TABLES = frozenset(
    {
        Table.GROUP,
        Table.MEMBER,
        Table.COMBINATION,
        Table.GUARD,
        Table.INTERNAL,
        Table.RELAY,
        Table.MAPPING,
        Table.DNAT,
        Table.EGRESS,
        Table.STRAY,
    }
)
_OF_PREFIX: Mapping[Table, Entry] = {
    Table.INTERNAL: Internal(),
    Table.MEMBER: GroupMember(),
    Table.STRAY: Stray(),
}
_GONE = "No such file or directory"
_DAMAGED_GROUP = GroupRules((Rule(side=Side.INGRESS, family=0),))
_DAMAGED_COMBINATION = Combination(("(damaged)",))


class Nft:
    """Driver of the nft tables of `TABLES`; the static part is loaded when it is made, unless it is only looked at."""

    def __init__(self, metadata_port: int = 8775, foreign: Iterable[str] = (), *, load: bool = True) -> None:
        self._skeleton = text.skeleton(metadata_port, foreign)
        self._foreign = frozenset(ifname(name) for name in foreign)
        self.monitor = netlink.Monitor(netlink.NETFILTER, (nft_wire.GROUP,))
        self.channel = netlink.Channel(netlink.NETFILTER)
        self._table = NftTable(self.channel)
        self._commit = Commit(self.channel, self._table)
        self._chains = Chains(self._table, self._load)
        self._remembered: dict[Key, Entry] = {}
        self._dirty_sets: set[str] = set()
        self._dirty_chains: set[str] = set()
        self._broken = self._refused = self._lost = self._deaf = False
        self._keys: set[Key] = set()
        self._told = self.restored = 0
        """How often the static part had to be loaded again because another's hand had changed it."""
        if load:
            self._load_skeleton()
        self._reload()
        if load:
            self._chains.sweep()
        self._just_read = True
        """The first full observation needs no second reading: notifications have kept what was read."""

    def close(self) -> None:
        """Close both sockets; the table stays."""
        self.monitor.close()
        self.channel.close()

    def remove(self) -> None:
        """Remove our tables from the host; this driver is of no use afterwards."""
        nft_text.load(text.nothing())

    def disturbances(self) -> Disturbance:
        """Return the keys that others changed since the last call; the static part is whole again if it can be."""
        self._refused = False
        self._mend()
        told = Disturbance(frozenset(self._keys), frozenset(), self._lost, self.restored - self._told)
        self._keys, self._lost, self._told = set(), False, self.restored
        return told

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries under these keys, from the mirror; None: all, read afresh."""
        self._settle()
        if keys is None:
            if not self._just_read:
                self._audit()
            self._just_read = False
            keys = self._known()
        found = ((key, self._entry(key)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    def reread(self) -> None:
        """Read everything afresh; what differs is told by `disturbances`, which also puts the static part back."""
        self._settle()
        self._audit()

    def content(self, name: str) -> Mapping[tuple[bytes, bytes], bytes]:
        """Return the data of a map of ours by key and end, from the mirror."""
        return self._table.content(name)

    def _audit(self) -> None:
        before = self._table.fingerprint
        self._keys |= self._reload()
        self._broken |= self._table.fingerprint != before or self._table.keys_now(FOREIGN) != self._foreign

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Chains that come, then elements, then chains that go."""
        self._mend()
        failures = self._chains.come(steps)
        refused = {id(failure.step) for failure in failures}
        failures += self._commit.apply([s for s in steps if _table(s) not in CHAINS and id(s) not in refused])
        failures += self._chains.go(steps)
        # a table that vanishes with the process that owned it is told by nobody
        self._broken = self._broken or any(_GONE in failure.error for failure in failures)
        failed = {id(failure.step) for failure in failures}
        for step in steps:
            if isinstance(step.act, Change) and id(step) not in failed:
                self._remember(step.act)
        return failures

    def _remember(self, change: Change) -> None:
        if change.after is None:
            self._remembered.pop(change.key, None)
        elif change.key.table is Table.GUARD:
            self._remembered[change.key] = change.after

    def _load(self, script: str) -> None:
        port = nft_text.load(script)
        # everything the program did has been told by the time it ended
        self._take_in({port, self.channel.port})

    def _load_skeleton(self) -> None:
        try:
            self._load(self._skeleton)
        except DataplaneError:
            # a set of another version has another type: begin anew, in one transaction
            self._load(text.nothing() + self._skeleton)

    def _mend(self) -> None:
        self._settle()
        if self._broken and not self._refused:
            self._restore()

    def _settle(self) -> None:
        """Bring the mirror up to date; nothing is put back here, for whoever only looks comes this way."""
        self._take_in({self.channel.port})
        if self._deaf:
            self._audit()
        self._deaf = False
        for name in self._dirty_sets:
            self._keys |= self._table.reload_set(name)
        for name in self._dirty_chains:
            self._keys |= self._table.reload_chain(name)
        self._dirty_sets, self._dirty_chains = set(), set()

    def _restore(self) -> None:
        """Load the static part again; where the kernel refuses, look at what is left, and try with the next pass."""
        self._broken = False
        try:
            self._load_skeleton()
            self.restored += 1
        except DataplaneError:
            self._broken = self._refused = True
        self._keys |= self._reload()

    def _take_in(self, own: Collection[int]) -> None:
        heard, lost = self.monitor.drain()
        self._lost = self._lost or lost
        self._deaf = self._deaf or lost
        for event in heard:
            if event.port not in own and event.kind >> 8 == nft_wire.NEWTABLE >> 8 and event.kind != nft_wire.NEWGEN:
                self._note(event)

    def _note(self, event: netlink.Heard) -> None:
        found = netlink.attributes(event.payload, 4)
        if nft_wire.text(found.get(1, b"")) != NFT_TABLE:
            return
        chain = event.kind in (nft_wire.NEWCHAIN, nft_wire.DELCHAIN)
        name = nft_wire.text(found.get(3 if chain else 2, b""))
        if event.kind in (nft_wire.NEWELEMENT, nft_wire.DELELEMENT):
            # whose taps are not ours to judge is a setting of this agent; in a set of a stranger's is nothing of ours
            self._broken = self._broken or name == FOREIGN
            self._dirty_sets |= {name} if name in STATIC or identity(name) is not None else set()
        elif identity(name) is None or event.kind in (nft_wire.NEWTABLE, nft_wire.DELTABLE):
            # whatever went with it is told by nobody
            self._broken = self._deaf = True
        elif event.kind in (nft_wire.NEWSET, nft_wire.DELSET):
            self._dirty_sets.add(name)
        else:
            self._dirty_chains.add(name)

    def _reload(self) -> set[Key]:
        changed = self._table.reload()
        wished = self._commit.wished
        for name in wished.keys() - set(self._table.set_names()):
            # prefixes nested in others are told by no element: they go with their set
            changed |= {prefix_key(name, prefix) for prefix in wished.pop(name)}
        for name in self._table.set_names():
            if kind(name) is Kind.INTERVAL and (content := self._table.content(name)):
                known = wished.setdefault(name, set())
                explained = {interval(prefix) for prefix in outermost(known)}
                unexplained = content.keys() - {(element.key, element.end) for element in explained}
                known.update(prefix for place in unexplained for prefix in prefixes_of(*place))
        return changed

    def _known(self) -> set[Key]:
        keys = {Key(Table.GUARD, (interface,)) for interface in self._table.interfaces()}
        for chain in self._table.chain_names():
            told = identity(chain)
            if told is not None:
                keys.add(Key(Table.GROUP if told[0][0] == "g" else Table.COMBINATION, (told[1],)))
        for name in self._table.set_names():
            if kind(name) is Kind.INTERVAL:
                keys |= {prefix_key(name, prefix) for prefix in self._commit.wished.get(name, ())}
            elif kind(name) is Kind.HASH:
                keys |= {key for at in self._table.content(name) for key in keys_of(name, at)}
        return keys

    def _entry(self, key: Key) -> Entry | None:
        if key.table in CHAINS:
            return self._chain_entry(key)
        if key.table is Table.GUARD:
            return self._guard_entry(key)
        name = prefix_set(key)
        if name is not None:
            prefix = Prefix(key.name[-1])
            present = prefix in self._commit.wished.get(name, ()) and covered(prefix, self._table.content(name).keys())
            return _OF_PREFIX[key.table] if present else None
        return self._element_entry(key)

    def _chain_entry(self, key: Key) -> Entry | None:
        comments = self._table.comments(chains_of(key))
        if not any(comments.values()):
            return None
        if key.table is Table.GROUP:
            rules = text.read_group(comments)
            return _DAMAGED_GROUP if rules is None else GroupRules(rules)
        groups = text.read_combination(comments)
        return _DAMAGED_COMBINATION if groups is None else Combination(groups)

    def _guard_entry(self, key: Key) -> Entry | None:
        placed = self._table.guard(key.name[0])
        if not placed:
            return None
        remembered = self._remembered.get(key)
        if isinstance(remembered, PortGuard) and elements(key, remembered) == placed:
            return remembered
        return guard_of(placed)

    def _element_entry(self, key: Key) -> Entry | None:
        name, raw = place(key)
        data = self._table.content(name).get((raw, b""))
        return None if data is None else entry_of(key, data)


def _table(step: Step) -> Table | None:
    return step.act.key.table if isinstance(step.act, Change) else None
