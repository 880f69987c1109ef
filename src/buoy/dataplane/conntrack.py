"""Tracked connections: ending those of an address, and those that no NAT map explains.

Promises: only connections that name one of the addresses end. The tricky thing:
the kernel filters a deletion by one field per message and scans the whole table
for each, so a few addresses are four messages each, and many are one dump and
exact deletions. Source: linux/netfilter/nfnetlink_conntrack.h; CTA_FILTER needs
kernel 5.8.
"""

import socket
import struct
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from buoy.dataplane import netlink
from buoy.model.address import Address, packed
from buoy.model.nodestate import Dnat, Egress, Mapping, NodeState, Route, Table

_GET, _DELETE = 0x101, 0x102
_ORIGINAL, _REPLY, _STATUS, _ID, _ZONE, _FILTER = 1, 2, 3, 12, 18, 25
_SOURCE, _DESTINATION = 1, 2
_STATUS_MASK, _SEEN_REPLY = 26, 2
_SNAT, _DNAT = 0x10, 0x20
_FEW = 4
_ENOENT = 2
_WITH_HANDSHAKE = frozenset({6, 132})
"""TCP and SCTP, whose connections tracking must not, or cannot, take up in the middle; DCCP is known no more."""


class Flow(NamedTuple):
    """One tracked connection: addresses both ways, whether it is translated, and what names it to the kernel."""

    source: bytes
    destination: bytes
    reply_source: bytes
    reply_destination: bytes
    status: int
    protocol: int
    handle: bytes


class Conntrack:
    """Ends tracked connections."""

    def __init__(self) -> None:
        self._channel = netlink.Channel(netlink.NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()

    def flush(self, addresses: Collection[Address]) -> list[str]:
        """End every connection from or to these addresses, before or after translation; return refusals."""
        if len(addresses) > _FEW:
            wanted = {packed(address) for address in addresses}
            return self._end(lambda flow: not wanted.isdisjoint(flow[:4]), _families(addresses))
        requests = [
            _filtered(packed(address), side, field)
            for address in addresses
            for side in (_ORIGINAL, _REPLY)
            for field in (_SOURCE, _DESTINATION)
        ]
        refusals = self._channel.send(requests) if requests else {}
        return [refusal.stderr for refusal in refusals.values() if refusal.number != _ENOENT]

    def flush_unanswered(self, addresses: Collection[Address]) -> list[str]:
        """End every connection that one of these addresses began and nobody has answered; return refusals."""
        if len(addresses) > _FEW:
            # a message for each would scan the table as often: minutes at the start of a full node
            wanted = {packed(address) for address in addresses}
            return self._end(lambda flow: flow.source in wanted and not flow.status & _SEEN_REPLY, _families(addresses))
        # kernels before 5.15 know no status here and end the answered ones too
        status = netlink.attribute(_STATUS, bytes(4)) + netlink.attribute(_STATUS_MASK, _SEEN_REPLY.to_bytes(4))
        requests = [_filtered(packed(address), _ORIGINAL, _SOURCE, status) for address in addresses]
        refusals = self._channel.send(requests) if requests else {}
        return [refusal.stderr for refusal in refusals.values() if refusal.number != _ENOENT]

    def flush_connectionless(self, addresses: Collection[Address]) -> list[str]:
        """End what has no handshake and is from or to these addresses; return refusals."""
        wanted = {packed(address) for address in addresses}
        return self._end(
            lambda flow: flow.protocol not in _WITH_HANDSHAKE and not wanted.isdisjoint(flow[:4]), _families(addresses)
        )

    def flush_stale(self, state: NodeState, node: Collection[Address]) -> int:
        """End connections translated otherwise than our maps say now; return how many; `node`: its own addresses."""
        judge = _Judge(state, node)
        if not judge.local:
            return 0
        flows = [flow for family in (socket.AF_INET, socket.AF_INET6) for flow in self._flows(family)]
        stale = [flow for flow in flows if judge.is_stale(flow)]
        self._delete(stale)
        return len(stale)

    def _end(self, condition: Callable[[Flow], bool], families: Collection[int]) -> list[str]:
        refused = self._delete([flow for family in families for flow in self._flows(family) if condition(flow)])
        return [refusal.stderr for refusal in refused if refusal.number != _ENOENT]

    def _delete(self, flows: Collection[Flow]) -> list[netlink.Refusal]:
        requests = [netlink.message(_DELETE, 0, _header(flow.source) + flow.handle) for flow in flows]
        return list(self._channel.send(requests).values()) if requests else []

    def _flows(self, family: int) -> Iterator[Flow]:
        request = netlink.message(_GET, netlink.DUMP, bytes([family, 0, 0, 0]))
        for _, payload in self._channel.dump(request):
            yield parse(payload)


def _families(addresses: Collection[Address]) -> set[int]:
    return {socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses}


def _header(raw: bytes) -> bytes:
    return bytes([socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, 0, 0, 0])


def _filtered(raw: bytes, side: int, field: int, more: bytes = b"") -> bytes:
    kind = field + (2 if len(raw) == 16 else 0)
    match = netlink.nested(side, netlink.nested(1, netlink.attribute(kind, raw)))
    flags = {_ORIGINAL: 0, _REPLY: 0, side: field}
    chosen = netlink.nested(
        _FILTER, *(netlink.attribute(where, struct.pack("=I", flag)) for where, flag in flags.items())
    )
    return netlink.message(_DELETE, 0, _header(raw) + match + chosen + more)


def parse(payload: bytes) -> Flow:
    """Return a flow from a dump; the kernel always tells source before destination, then the protocol's number."""
    found = netlink.attributes(payload, 4)
    size = 16 if payload[0] == socket.AF_INET6 else 4
    original, reply = found[_ORIGINAL], found[_REPLY]
    handle = netlink.nested(_ORIGINAL, original)
    handle += b"".join(netlink.attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
    source, destination = slice(8, 8 + size), slice(12 + size, 12 + 2 * size)
    status = int.from_bytes(found.get(_STATUS, b"\0"))
    protocol = original[20 + 2 * size]
    return Flow(original[source], original[destination], reply[source], reply[destination], status, protocol, handle)


class _Judge:
    """Knows what our maps say, as bytes."""

    def __init__(self, state: NodeState, node: Collection[Address]) -> None:
        self.targets: dict[bytes, set[bytes]] = {}
        self.whole: dict[bytes, bytes] = {}
        self.egress: dict[bytes, bytes] = {}
        self.local: set[bytes] = set()
        self.node = {packed(address) for address in node}
        for key, entry in state.items():
            if isinstance(entry, (Dnat, Mapping)):
                address = packed(Address(key.name[0]))
                self.targets.setdefault(address, set()).add(packed(entry.target))
                if isinstance(entry, Dnat):
                    self.whole[address] = packed(entry.target)
            elif isinstance(entry, Egress):
                self.egress[packed(Address(key.name[0]))] = packed(entry.address)
            elif key.table is Table.ROUTE and isinstance(entry, Route):
                self.local.add(packed(Address(key.name[0].partition("/")[0])))

    def is_stale(self, flow: Flow) -> bool:
        """Tell whether a connection is translated, or not translated, against the maps of this node."""
        if flow.destination in self.whole and not flow.status & _DNAT:
            return True
        if flow.status & _DNAT:
            if flow.destination in self.targets:
                return flow.reply_source not in self.targets[flow.destination]
            # to a guest of ours through an address that no map holds any more; the node's own an operator may lead on
            return flow.reply_source in self.local and flow.destination not in self.node
        if not flow.status & (_SNAT | _SEEN_REPLY) and flow.source in self.egress:
            # perhaps nobody can answer it under its fixed address
            return True
        if not flow.status & _SNAT or flow.source not in self.local:
            return False
        # an operator's own masquerading uses the node's addresses: not ours to judge
        return flow.reply_destination not in (self.node | {self.egress.get(flow.source, b"")})
