# SPDX-License-Identifier: Apache-2.0
"""Ending the tracked connections of an address.

Promises: only connections that name one of the addresses end, and what is not about
them is passed over in the kernel as long as they are few. The tricky thing: the
kernel filters by one field per message and scans the whole table for each, so a few
addresses are some messages each, and many are one dump and exact deletions. What our
maps do not explain is ended by `stale.py`. Source:
linux/netfilter/nfnetlink_conntrack.h; CTA_FILTER needs kernel 5.8.
"""

import itertools
import socket
import struct
from collections.abc import Callable, Collection, Sequence

from buoy.dataplane import flow, netlink
from buoy.dataplane.flow import ORIGINAL, REPLY, SEEN_REPLY, STATUS, STATUS_MASK, Flow
from buoy.model.address import Address, packed

GET, _DELETE = 0x101, 0x102
_FILTER = 25
_SOURCE, _DESTINATION = 1, 2
Place = tuple[int, int]
"""Where a connection names an address: a side, and its source or destination."""
BEGUN: Collection[Place] = ((ORIGINAL, _SOURCE), (ORIGINAL, _DESTINATION))
"""Who began it and to whom, before translation."""
LENT: Collection[Place] = ((ORIGINAL, _DESTINATION), (REPLY, _DESTINATION))
"""To whom it was begun, and with which address it left."""
_EVERYWHERE: Collection[Place] = (*BEGUN, (REPLY, _SOURCE), (REPLY, _DESTINATION))
_FEW = 3
_ENOENT = 2
_WITH_HANDSHAKE = frozenset({6, 132})
"""TCP and SCTP, whose connections tracking must not, or cannot, take up in the middle; DCCP is known no more."""


class Conntrack:
    """Ends tracked connections."""

    def __init__(self) -> None:
        self._channel = netlink.Channel(netlink.NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()

    def flush(self, addresses: Collection[Address], places: Collection[Place] = _EVERYWHERE) -> list[str]:
        """End every connection from or to these addresses, before or after translation; return refusals.

        With fewer `places` those are enough that name an address there: each costs a scan of the table.
        """
        if len(addresses) > _FEW:
            wanted = {packed(address) for address in addresses}
            return self._end(lambda seen: not wanted.isdisjoint(seen[:4]), _everything(addresses))
        return self._send([_about(_DELETE, packed(address), *place) for address in addresses for place in places])

    def flush_unanswered(self, addresses: Collection[Address]) -> list[str]:
        """End every connection that one of these addresses began and nobody has answered; return refusals."""
        status = netlink.attribute(STATUS, bytes(4)) + netlink.attribute(STATUS_MASK, SEEN_REPLY.to_bytes(4))
        if len(addresses) > _FEW:
            # a message for each would scan the table as often: minutes at the start of a full node
            wanted = {packed(address) for address in addresses}
            return self._end(
                lambda seen: seen.source in wanted and not seen.status & SEEN_REPLY, _everything(addresses, status)
            )
        # kernels before 5.15 know no status here and end the answered ones too
        return self._send([_about(_DELETE, packed(address), ORIGINAL, _SOURCE, status) for address in addresses])

    def flush_connectionless(self, addresses: Collection[Address]) -> list[str]:
        """End what has no handshake and is from or to these addresses; return refusals."""
        wanted = {packed(address) for address in addresses}
        requests = [_about(GET, packed(address), *place) for address in addresses for place in _EVERYWHERE]
        return self._end(
            lambda seen: seen.protocol not in _WITH_HANDSHAKE and not wanted.isdisjoint(seen[:4]),
            requests if len(addresses) <= _FEW else _everything(addresses),
        )

    def end(self, payloads: Collection[bytes]) -> list[str]:
        """End exactly the connections that these payloads of a dump told of; return refusals."""
        return self._send([netlink.message(_DELETE, 0, each[:1] + bytes(3) + flow.handle(each)) for each in payloads])

    def _end(self, condition: Callable[[Flow], bool], requests: Collection[bytes]) -> list[str]:
        pages = itertools.chain.from_iterable(self._channel.pages(request) for request in requests)
        return self.end([payload for page in pages for payload in page if condition(flow.parse(payload))])

    def _send(self, requests: Sequence[bytes]) -> list[str]:
        refusals = self._channel.send(requests) if requests else {}
        return [refusal.stderr for refusal in refusals.values() if refusal.number != _ENOENT]


def _everything(addresses: Collection[Address], more: bytes = b"") -> list[bytes]:
    """Return a dump for each family that these addresses are of."""
    families = {socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses}
    return [netlink.message(GET, netlink.DUMP, bytes([family, 0, 0, 0]) + more) for family in sorted(families)]


def _about(verb: int, raw: bytes, side: int, field: int, more: bytes = b"") -> bytes:
    """Return the deletion, or the dump, of what names an address in one place."""
    family, kind = (socket.AF_INET6, field + 2) if len(raw) == 16 else (socket.AF_INET, field)
    match = netlink.nested(side, netlink.nested(1, netlink.attribute(kind, raw)))
    flags = {ORIGINAL: 0, REPLY: 0, side: field}
    chosen = netlink.nested(
        _FILTER, *(netlink.attribute(where, struct.pack("=I", flag)) for where, flag in flags.items())
    )
    return netlink.message(verb, 0, bytes([family, 0, 0, 0]) + match + chosen + more)
