# SPDX-License-Identifier: Apache-2.0
"""Random states of a node that keep the promise, and the promise itself, written independently of the planner."""

import random
from collections.abc import Mapping
from typing import TypeVar

from hypothesis import strategies as st

from buoy.model.address import Address, Mac, Prefix, host_prefix, split
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Announcement,
    Class,
    Combination,
    Discard,
    Dnat,
    Egress,
    Entry,
    GroupMember,
    GroupRules,
    Internal,
    Key,
    LinkSettings,
    Neighbour,
    PortGuard,
    Relay,
    Route,
    Stray,
    Table,
)
from buoy.model.nodestate import Mapping as PortMap

TAPS = ("tap1", "tap2", "tap3")
FIXED = tuple(Address(f"192.0.2.{n}") for n in range(1, 5))
REMOTE = Address("192.0.2.200")
SERVICE = tuple(Address(f"198.51.100.{n}") for n in range(1, 5))
POOL, SERVICES = Prefix("203.0.113.0/24"), Prefix("203.0.113.128/25")
PODS = Prefix("10.244.1.0/24")
"""Announced as it is: how packets get to its pods is others' affair."""
PODLIKE = tuple(Address(text) for text in ("10.244.1.5", "2001:db8:244::5", "192.0.2.1", "2001:db8::1"))
"""What pods of this node may have; guests may have some of it, too: by mistake, or later."""
GROUPS = ("red", "green", "blue")
RULES = tuple(Rule(side=side, family=4, protocol=6, first=port, last=port) for side in Side for port in (22, 80))
INSIDE = (Prefix("192.0.2.0/24"), Prefix("198.18.0.0/15"))

State = dict[Key, Entry]
Item = TypeVar("Item")

_CLASSES = tuple(Class)


def node_states() -> st.SearchStrategy[State]:
    """Draw a state by its seed: ten times faster than draw by draw, and a failing seed can be kept as well."""
    return st.integers(0, 2**32 - 1).map(lambda seed: random_state(random.Random(seed)))


def random_state(chance: random.Random) -> State:
    """Return a state in which every announced prefix has its forwarding and policy."""
    state: State = {}
    rules = {group: set(_some(chance, RULES)) for group in GROUPS}
    homes = _some(chance, TAPS)
    for tap in homes:
        _guard(state, tap, _some(chance, GROUPS) if chance.random() < 0.7 else None, rules)
    places: dict[Address, str] = {}
    for address in _some(chance, FIXED) if homes else ():
        places[address] = chance.choice(homes)
        _fixed(state, address, places[address], chance.choice(_CLASSES))
    for address in SERVICE:
        _service(chance, state, address, places)
    for prefix in _some(chance, INSIDE):
        state[Key(Table.INTERNAL, (prefix,))] = Internal()
    _aggregate(chance, state, Key(Table.DISCARD, (POOL,)), Discard())
    _aggregate(chance, state, Key(Table.STRAY, (SERVICES,)), Stray())
    return state


def _aggregate(chance: random.Random, state: State, end: Key, entry: Entry) -> None:
    if chance.random() < 0.5:
        state[end] = entry
        state[Key(Table.ANNOUNCEMENT, end.name)] = Announcement(None, chance.choice(_CLASSES))


def _some(chance: random.Random, items: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(item for item in items if chance.random() < 0.6)


def _guard(state: State, tap: str, groups: tuple[str, ...] | None, rules: Mapping[str, set[Rule]]) -> None:
    state[Key(Table.LINK, (tap,))] = LinkSettings()
    if groups is None:
        state[Key(Table.GUARD, (tap,))] = PortGuard(None, ())
        return
    name = "-".join(groups) or "none"
    state[Key(Table.GUARD, (tap,))] = PortGuard(name, ())
    state[Key(Table.COMBINATION, (name,))] = Combination(groups)
    for group in groups:
        state[Key(Table.GROUP, (group,))] = GroupRules(tuple(sorted(rules[group], key=repr)))
        state[Key(Table.MEMBER, (group, "192.0.2.9/32"))] = GroupMember()


def _fixed(state: State, address: Address, tap: str, preference: Class) -> None:
    mac = Mac("fa:16:3e:00:00:01")
    guard = state[Key(Table.GUARD, (tap,))]
    assert isinstance(guard, PortGuard)
    state[Key(Table.GUARD, (tap,))] = PortGuard(guard.combination, (*guard.sources, (mac, host_prefix(address))))
    state[Key(Table.NEIGHBOUR, (tap, address))] = Neighbour(mac)
    state[Key(Table.ROUTE, (host_prefix(address),))] = Route(tap)
    state[Key(Table.ANNOUNCEMENT, (host_prefix(address),))] = Announcement(tap, preference)


def _service(chance: random.Random, state: State, address: Address, places: Mapping[Address, str]) -> None:
    ways = ("absent", "proxied", "hosted", "both", "ingress", "egress", "mapped", "relayed", "routed")
    way = chance.choice(ways if places else ways[:3])
    if way == "absent":
        return
    if way == "hosted":
        _hosted(chance, state, address, places)
        return
    if way == "proxied":
        state[Key(Table.STRAY, (host_prefix(address),))] = Stray()
        state[Key(Table.ANNOUNCEMENT, (host_prefix(address),))] = Announcement(None, chance.choice(_CLASSES))
        return
    target = chance.choice(sorted(places))
    tap = places[target]
    if way == "routed":
        _fixed(state, address, tap, chance.choice(_CLASSES))
        return
    if way in ("both", "ingress"):
        state[Key(Table.DNAT, (address,))] = Dnat(target)
    if way in ("both", "egress"):
        state[Key(Table.EGRESS, (target,))] = Egress(address)
    if way in ("mapped", "relayed"):
        for port in (443, *_some(chance, (80, 8080))):
            state[Key(Table.MAPPING, (address, "tcp", str(port)))] = PortMap(target, port)
    if way == "relayed":
        state[Key(Table.MAPPING, (address, "tcp", "25"))] = PortMap(REMOTE, 25)
        state[Key(Table.RELAY, (address, REMOTE))] = Relay()
    if way in ("mapped", "relayed", "egress"):
        state[Key(Table.DISCARD, (host_prefix(address),))] = Discard()
    else:
        state[Key(Table.ROUTE, (host_prefix(address),))] = Route(tap)
    interface = None if way == "relayed" else tap
    state[Key(Table.ANNOUNCEMENT, (host_prefix(address),))] = Announcement(interface, chance.choice(_CLASSES))


def _hosted(chance: random.Random, state: State, address: Address, places: Mapping[Address, str]) -> None:
    """Lead a floating IP to a pod: whole, or some ports, or only out."""
    target = chance.choice([pod for pod in PODLIKE if ":" not in pod and pod not in places])
    translation = chance.choice((Table.DNAT, Table.MAPPING, Table.EGRESS))
    if translation is Table.DNAT:
        state[Key(Table.DNAT, (address,))] = Dnat(target)
    if translation is Table.MAPPING:
        state[Key(Table.MAPPING, (address, "tcp", "443"))] = PortMap(target, 8443)
    if translation is not Table.MAPPING:
        # of several the last, as any other would do
        state[Key(Table.EGRESS, (target,))] = Egress(address)
    state[Key(Table.STRAY, (host_prefix(address),))] = Stray()
    state[Key(Table.ANNOUNCEMENT, (host_prefix(address),))] = Announcement(None, chance.choice(_CLASSES))


def broken(state: Mapping[Key, Entry], before: Mapping[Key, Entry], after: Mapping[Key, Entry]) -> list[str]:
    """Return the announced prefixes that `state` does not serve as `before` or `after` did."""
    return [
        key.name[0]
        for key in state
        if key.table is Table.ANNOUNCEMENT
        and way(state, Prefix(key.name[0])) not in (way(before, Prefix(key.name[0])), way(after, Prefix(key.name[0])))
    ]


def way(state: Mapping[Key, Entry], prefix: Prefix) -> str:
    """Tell how packets to a prefix are served: a kind, or what is missing."""
    address = split(prefix)[0]
    dnat = state.get(Key(Table.DNAT, (address,)))
    if isinstance(dnat, Dnat):
        return f"translated {_reached(state, prefix, dnat.target)}"
    mapped = [entry for key, entry in state.items() if key.table is Table.MAPPING and key.name[0] == address]
    if mapped:
        return "mapped " + "".join(sorted({_mapped(state, prefix, entry) for entry in mapped}))
    if Key(Table.DISCARD, (prefix,)) in state:
        return "discarded"
    route = state.get(Key(Table.ROUTE, (prefix,)))
    if isinstance(route, Route) and Key(Table.NEIGHBOUR, (route.interface, address)) in state:
        return f"routed {_local(state, address)}"
    if Key(Table.STRAY, (prefix,)) in state or prefix == PODS:
        return "proxied"
    sources = [key.name[0] for key, entry in state.items() if isinstance(entry, Egress) and entry.address == address]
    outward = "".join(sorted({_local(state, Address(source)) for source in sources})) if sources else " no way;"
    return f"outward{outward} {bool(route)}"


def _mapped(state: Mapping[Key, Entry], prefix: Prefix, entry: Entry) -> str:
    assert isinstance(entry, PortMap)
    if Key(Table.RELAY, (split(prefix)[0], entry.target)) in state:
        return ""
    return _reached(state, prefix, entry.target)


def _reached(state: Mapping[Key, Entry], prefix: Prefix, target: Address) -> str:
    """Return what is missing to bring what was sent to a prefix to where it is translated to."""
    return "" if _is_on_host(state, prefix, target) else _local(state, target)


def _is_on_host(state: Mapping[Key, Entry], prefix: Prefix, target: Address) -> bool:
    """Tell whether packets are left to the routes of others, and go round nowhere if nobody translated them."""
    led = Key(Table.ROUTE, (host_prefix(target),)) in state
    # a route: to the guest that has the address next, for as long as something is translated still
    ended = any(Key(end, (prefix,)) in state for end in (Table.STRAY, Table.DISCARD, Table.ROUTE))
    return target in PODLIKE and not led and ended


def _local(state: Mapping[Key, Entry], address: Address) -> str:
    """Return what is missing to bring a packet to a fixed address under policy; empty if nothing is."""
    route = state.get(Key(Table.ROUTE, (host_prefix(address),)))
    if not isinstance(route, Route):
        return "no route;"
    needs = [Key(Table.NEIGHBOUR, (route.interface, address)), Key(Table.LINK, (route.interface,))]
    guard = state.get(Key(Table.GUARD, (route.interface,)))
    if not isinstance(guard, PortGuard):
        return "no guard;"
    if guard.combination is not None:
        combination = state.get(Key(Table.COMBINATION, (guard.combination,)))
        if not isinstance(combination, Combination):
            return "no combination;"
        needs += [Key(Table.GROUP, (group,)) for group in combination.groups]
    return "".join(f"no {need.table.name};" for need in needs if need not in state)
