# SPDX-License-Identifier: Apache-2.0
"""What is in our nft table: a mirror of its sets, its chains' comments and its static rules and chains.

Promises: it only reads; what is written is told to it after the kernel has
acknowledged it. The tricky thing: a set dumped right after a large load may
miscount, so `netlink.Channel.dump` begins again when the kernel says that a dump
was interrupted.
"""

import hashlib
from collections.abc import Iterable, Mapping

from buoy.dataplane import netlink, nft_wire
from buoy.dataplane.nft_elements import GUARD_SETS, STATIC, Placed, interface_of, key_of, kind, prefix_key
from buoy.dataplane.nft_prefixes import prefixes_of
from buoy.dataplane.nft_wire import Element, Kind
from buoy.model.group import Side
from buoy.model.nodestate import Key, Table
from buoy.model.ownership import NFT_TABLE
from buoy.render.nft_names import identity

_ENOENT = 2
_CHAIN_TABLES = {"gi": Table.GROUP, "ge": Table.GROUP, "ci": Table.COMBINATION, "ce": Table.COMBINATION}


class NftTable:
    """The mirror."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._sets: dict[str, dict[tuple[bytes, bytes], bytes]] = {}
        self._chains: dict[str, list[str]] = {}
        self._guards: dict[str, set[tuple[str, bytes, bytes]]] = {}
        self._empty = True
        self.fingerprint = b""
        """Digest of all static rules and chains as the kernel holds them: their hooks, priorities and policies, too."""

    def content(self, name: str) -> Mapping[tuple[bytes, bytes], bytes]:
        """Return a set's data by key and end."""
        return self._sets.get(name, {})

    def set_names(self) -> Iterable[str]:
        """Return the names of all sets that exist."""
        return self._sets.keys()

    def chain_names(self) -> Iterable[str]:
        """Return the names of all chains that hold a rule."""
        return self._chains.keys()

    def guard(self, interface: str) -> frozenset[Placed]:
        """Return every element that concerns one interface."""
        found = self._guards.get(interface, ())
        return frozenset((name, Element(key, end, self._sets[name][(key, end)])) for name, key, end in found)

    def interfaces(self) -> Iterable[str]:
        """Return every interface some element concerns."""
        return self._guards.keys()

    def lines(self, chain: str) -> Iterable[str]:
        """Return the comments of one chain."""
        return self._chains.get(chain, ())

    def forget_set(self, name: str) -> None:
        """Note that an empty set has been removed."""
        self._sets.pop(name, None)

    def comments(self, prefixes: Mapping[Side, str]) -> dict[Side, list[str]]:
        """Return the comments of a pair of chains."""
        return {side: self._chains.get(name, []) for side, name in prefixes.items()}

    def reload(self) -> set[Key]:
        """Read everything afresh; return the keys whose elements or chains changed."""
        names = {nft_wire.text(netlink.attributes(payload, 4)[2]) for payload in self._dump(nft_wire.set_dump())}
        ours = {name for name in names if name in STATIC or identity(name) is not None}
        changed = {key for name in ours | self._sets.keys() for key in self.reload_set(name)}
        for name in self._sets.keys() - ours:
            del self._sets[name]
        changed |= self._reload_rules()
        # what a first reading finds has not changed
        changed, self._empty = (set() if self._empty else changed), False
        return changed

    def reload_set(self, name: str) -> set[Key]:
        """Read one set afresh; return the keys whose elements changed."""
        fresh = nft_wire.parse_elements(kind(name), self._dump(nft_wire.element_dump(name)))
        before = self._sets.get(name, {})
        if fresh == before:
            self._sets[name] = before
            return set()
        places = {place for place in fresh.keys() | before.keys() if fresh.get(place) != before.get(place)}
        for place in places & before.keys():
            self._index(name, place, present=False)
        self._sets[name] = fresh
        for place in places & fresh.keys():
            self._index(name, place, present=True)
        if self._empty:
            return set()
        return {key for place in places for key in keys_of(name, place)}

    def reload_chain(self, name: str) -> set[Key]:
        """Read the rules of one group's or combination's chain afresh."""
        seen = [nft_wire.parse_rule(payload).comment for payload in self._dump(nft_wire.rule_dump(name))]
        before = self._chains.pop(name, [])
        if seen:
            self._chains[name] = seen
        return _chain_keys(name) if seen != before else set()

    def keys_now(self, name: str) -> set[bytes]:
        """Return the keys of a set that is not mirrored, read afresh."""
        elements = nft_wire.parse_elements(Kind.HASH, self._dump(nft_wire.element_dump(name)))
        return {key for key, _ in elements}

    def _dump(self, request: bytes) -> list[bytes]:
        """Return what a dump tells; what is not there tells nothing."""
        try:
            return [payload for _, payload in self._channel.dump(request)]
        except netlink.Refusal as refusal:
            if refusal.number != _ENOENT:
                raise
            return []

    def written(self, verb: int, name: str, element: Element) -> None:
        """Note an element that the kernel has taken or let go."""
        place = (element.key, element.end)
        if verb == nft_wire.NEWELEMENT:
            self._sets.setdefault(name, {})[place] = element.data
        else:
            self._sets.get(name, {}).pop(place, None)
        self._index(name, place, present=verb == nft_wire.NEWELEMENT)

    def _index(self, name: str, place: tuple[bytes, bytes], *, present: bool) -> None:
        if name not in GUARD_SETS:
            return
        interface = interface_of(place[0])
        placed = self._guards.setdefault(interface, set())
        (placed.add if present else placed.discard)((name, *place))
        if not placed:
            del self._guards[interface]

    def _reload_rules(self) -> set[Key]:
        fresh: dict[str, list[str]] = {}
        digest = hashlib.sha256()
        for payload in self._dump(nft_wire.rule_dump()):
            rule = nft_wire.parse_rule(payload)
            if identity(rule.chain) is None:
                digest.update(rule.chain.encode() + b"\0" + rule.body)
            else:
                fresh.setdefault(rule.chain, []).append(rule.comment)
        before, self._chains = self._chains, fresh
        self.fingerprint = digest.digest() + self._digest_of_chains()
        differ = {name for name in before.keys() | fresh.keys() if before.get(name) != fresh.get(name)}
        return {key for name in differ for key in _chain_keys(name)}

    def _digest_of_chains(self) -> bytes:
        """Digest what static chains say besides their rules, and the rules of ARP's."""
        chains = [nft_wire.parse_chain(payload) for dump in nft_wire.chain_dumps() for payload in self._dump(dump)]
        ours = [(name, said) for table, name, said in chains if table == NFT_TABLE and identity(name) is None]
        arp = [nft_wire.parse_rule(payload).body for payload in self._dump(nft_wire.arp_rule_dump())]
        return hashlib.sha256(repr((ours, arp)).encode()).digest()


def keys_of(name: str, place: tuple[bytes, bytes]) -> set[Key]:
    """Return the keys that an element is, or, for an interval, the prefixes it is made of."""
    if kind(name) is not Kind.INTERVAL:
        key = key_of(name, Element(*place))
        return {key} if key else set()
    return {prefix_key(name, prefix) for prefix in prefixes_of(*place)}


def _chain_keys(name: str) -> set[Key]:
    told = identity(name)
    return {Key(_CHAIN_TABLES[told[0]], (told[1],))} if told and told[0] in _CHAIN_TABLES else set()
