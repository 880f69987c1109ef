# SPDX-License-Identifier: Apache-2.0
"""How a packet goes through a node: the rules of table `inet buoy` and of routing, over plain entries.

Promises what the kernel does with the same entries: policy as the guest sees it,
NAT decided once per flow and remembered, so that what was tracked before a change
stays as it was until it is flushed. `dataplane/fake.py` holds the node.
"""

from collections.abc import Iterator, Mapping

import msgspec

from buoy.model.address import Address, Prefix, contains, family, host_prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Combination,
    Discard,
    Dnat,
    Egress,
    GroupRules,
    Key,
    Neighbour,
    NodeState,
    PortGuard,
    Relay,
    Route,
    Stray,
    Table,
)
from buoy.model.nodestate import Mapping as PortMapping

UPLINK = "uplink"
PROXIED = "service proxy"
"""Where packets leave that the service proxy forwards, whatever it makes of them."""

WITH_HANDSHAKE = ("tcp", "sctp")
_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


class Packet(msgspec.Struct, frozen=True):
    """A packet as it comes in on `interface`; ports are 0 where the protocol has none."""

    src: Address
    dst: Address
    proto: str = "tcp"
    sport: int = 40000
    dport: int = 80
    interface: str = UPLINK

    @property
    def reply(self) -> "Packet":
        """The answer to this packet, as its receiver sends it."""
        return Packet(self.dst, self.src, self.proto, self.dport, self.sport, self.interface)


class Delivered(msgspec.Struct, frozen=True):
    """The packet left on an interface, looking like this."""

    interface: str
    packet: Packet


class Dropped(msgspec.Struct, frozen=True):
    """The packet did not leave, and where it ended."""

    reason: str


class Translation(msgspec.Struct, frozen=True):
    """What a flow's packets become: destination and port, then source."""

    dst: Address
    dport: int
    src: Address


def translate(state: NodeState, packet: Packet) -> Translation:
    """Return the NAT a new flow gets: prerouting first, then postrouting in the order of its chain."""
    dst, dport = _destination(state, packet)
    return Translation(dst, dport, _source(state, packet, dst, dport))


def _destination(state: NodeState, packet: Packet) -> tuple[Address, int]:
    mapped = state.get(Key(Table.MAPPING, (packet.dst, packet.proto, str(packet.dport))))
    if isinstance(mapped, PortMapping):
        return mapped.target, mapped.port
    dnat = state.get(Key(Table.DNAT, (packet.dst,)))
    return (dnat.target if isinstance(dnat, Dnat) else packet.dst), packet.dport


def _source(state: NodeState, packet: Packet, dst: Address, dport: int) -> Address:
    egress = state.get(Key(Table.EGRESS, (packet.src,)))
    outward = egress.address if isinstance(egress, Egress) else packet.src
    if isinstance(state.get(Key(Table.RELAY, (packet.dst, dst))), Relay):
        return packet.dst
    if dst == packet.src:
        return packet.dst
    # what was translated went to a service IP, whatever it leads to; a service proxy's own are inside
    asked = packet.dst if (dst, dport) != (packet.dst, packet.dport) else dst
    inside = (key.name[0] for key in state if key.table is Table.INTERNAL)
    return packet.src if any(contains(Prefix(prefix), asked) for prefix in inside) else outward


def route(state: NodeState, dst: Address) -> str:
    """Return the interface a destination is behind; empty if its prefix is discarded here."""
    found = state.get(Key(Table.ROUTE, (host_prefix(dst),)))
    if isinstance(found, Route):
        return found.interface
    discards = (key.name[0] for key, entry in state.items() if isinstance(entry, Discard))
    return "" if any(contains(Prefix(prefix), dst) for prefix in discards) else UPLINK


def strays(state: NodeState, dst: Address) -> bool:
    """Tell whether what comes for a destination, and would go back where it came from, is dropped."""
    return any(contains(Prefix(key.name[0]), dst) for key, entry in state.items() if isinstance(entry, Stray))


def resolves(state: NodeState, interface: str, dst: Address) -> bool:
    """Tell whether somebody behind an interface is known to have an address."""
    return interface == UPLINK or isinstance(state.get(Key(Table.NEIGHBOUR, (interface, dst))), Neighbour)


def allowed(state: NodeState, interface: str, packet: Packet, side: Side) -> bool:
    """Tell whether the policy of an interface lets a new flow pass on one side, as the guest sees the packet."""
    if interface == UPLINK:
        return True
    guard = state.get(Key(Table.GUARD, (interface,)))
    if not isinstance(guard, PortGuard):
        return False
    if guard.combination is None:
        return True
    if side is Side.EGRESS and not any(contains(prefix, packet.src) for _, prefix in guard.sources):
        return False
    return any(_matches(state, rule, packet) for rule in _rules(state, guard.combination) if rule.side is side)


def _rules(state: NodeState, combination: str) -> Iterator[Rule]:
    chain = state.get(Key(Table.COMBINATION, (combination,)))
    for group in chain.groups if isinstance(chain, Combination) else ():
        rules = state.get(Key(Table.GROUP, (group,)))
        yield from rules.rules if isinstance(rules, GroupRules) else ()


def _matches(state: NodeState, rule: Rule, packet: Packet) -> bool:
    remote = packet.src if rule.side is Side.INGRESS else packet.dst
    ports = range(rule.first or 0, (65535 if rule.last is None else rule.last) + 1)
    return (
        rule.family == family(packet.src)
        and rule.protocol in {None, _NUMBERS[packet.proto]}
        and packet.dport in ports
        and (rule.prefix is None or contains(rule.prefix, remote))
        and (rule.group is None or any(contains(member, remote) for member in _members(state, rule.group)))
    )


def _members(state: Mapping[Key, object], group: str) -> Iterator[Prefix]:
    return (Prefix(key.name[1]) for key in state if key.table is Table.MEMBER and key.name[0] == group)
