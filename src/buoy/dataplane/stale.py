# SPDX-License-Identifier: Apache-2.0
"""Ending the tracked connections that our maps, as they are, would translate otherwise.

Promises: only connections to or from the service IPs it is told of end, so what an
operator's own rules translate goes on; and no step takes more than some milliseconds,
however many connections the node tracks. Two things are tricky. The kernel goes on
with a dump only when more of it is asked for, so a reading may rest between steps;
the maps are asked at the moment of judging, not when the reading began. And what is
answered and not translated, which is most of what guests say among themselves, was
begun before its map was there: the kernel leaves it out of all readings but the first,
and those after a flush that was refused.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping

from buoy.dataplane import flow, netlink
from buoy.dataplane.conntrack import GET, Conntrack
from buoy.dataplane.flow import DNAT, SEEN_REPLY, SNAT, Flow
from buoy.model.address import Address, packed
from buoy.model.errors import DataplaneError

Content = Callable[[str], Mapping[tuple[bytes, bytes], bytes]]
"""What a map of ours holds this moment, by its name: data by key and end."""

_PAGES = 8
"""Datagrams in one step: some thousand connections, ten milliseconds."""
_ALL = SEEN_REPLY | SNAT | DNAT
_TRANSLATED_OR_NEW = ((DNAT, DNAT), (SNAT, SNAT | DNAT), (0, _ALL))
_ANSWERED_AND_PLAIN = (SEEN_REPLY, _ALL)
"""Status bits and which of them count; together these are every connection, each once."""
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})


class StaleFlows:
    """Implements `Flows`; `content` is asked for the maps, `conntrack` ends what is stale."""

    def __init__(self, conntrack: Conntrack, content: Content) -> None:
        self._conntrack = conntrack
        self._content = content
        self._service_ips: set[bytes] = set()
        self._channel: netlink.Channel | None = None
        self._pages: Iterator[list[bytes]] = iter(())
        self._whole = True
        self._refused: set[bytes] = set()
        self.ended = 0
        """How many connections were ended in the life of this object."""

    def judge(self, service_ips: Collection[Address]) -> None:
        """Begin to read; a reading that was not over yet begins anew with what it was told before."""
        known = {packed(address) for address in service_ips} | self._refused
        self._service_ips = known | self._service_ips if self._channel else known
        self.close()
        if self._service_ips:
            self._channel = netlink.Channel(netlink.NETFILTER)
            self._pages = self._read(self._channel, (*_TRANSLATED_OR_NEW, *((_ANSWERED_AND_PLAIN,) * self._whole)))

    def go_on(self) -> bool:
        """Judge what the next datagrams tell; return whether there are more."""
        judge = Judge(self._service_ips, self._content)
        try:
            stale = [payload for page in self._next() for payload in page if judge.is_stale(flow.parse(payload))]
        except (DataplaneError, OSError):
            self.close()
            raise
        self._conntrack.end(stale)
        self.ended += len(stale)
        return self._channel is not None

    def not_flushed(self, addresses: Collection[Address]) -> None:
        """Hear that connections of these could not be ended in time: the next reading looks for them."""
        self._refused |= {packed(address) for address in addresses}
        self._whole = True

    def close(self) -> None:
        """Give up the reading that is under way; a dump that nobody ends would bar its socket for the next."""
        if self._channel is not None:
            self._channel.close()
            self._channel, self._pages = None, iter(())

    def _next(self) -> Iterator[list[bytes]]:
        yield from itertools.islice(self._pages, _PAGES)
        following = next(self._pages, None)
        if following is not None:
            yield following
        elif self._channel is not None:
            self.close()
            self._whole, self._refused = False, self._refused - self._service_ips

    def _read(self, channel: netlink.Channel, kinds: Collection[tuple[int, int]]) -> Iterator[list[bytes]]:
        for status, mask in kinds:
            # kernels before 5.15 know no status here and tell everything each time
            chosen = ((flow.STATUS, status), (flow.STATUS_MASK, mask))
            body = bytes(4) + b"".join(netlink.attribute(kind, value.to_bytes(4)) for kind, value in chosen)
            yield from channel.pages(netlink.message(GET, netlink.DUMP, body))


class Judge:
    """Knows our service IPs, and what the maps say of them."""

    def __init__(self, service_ips: Collection[bytes], content: Content) -> None:
        self._ours = service_ips
        self._fip = {size: content(f"fip{version}") for size, version in ((4, 4), (16, 6))}
        self._mapped = {size: content(f"mapped{version}") for size, version in ((4, 4), (16, 6))}
        self._egress = {size: content(f"egress{version}") for size, version in ((4, 4), (16, 6))}

    def is_stale(self, seen: Flow) -> bool:
        """Tell whether a connection to or from a service IP is translated, or not translated, against the maps."""
        if seen.destination in self._ours:
            target = self._target(seen)
            if (seen.reply_source if seen.status & DNAT else None) != target:
                return True
        if seen.status & SNAT:
            # its destination's own address becomes the source where answers must come back through this node
            wrong = seen.reply_destination not in (self._leaving(seen.source), seen.destination)
            return wrong and seen.reply_destination in self._ours
        # perhaps nobody can answer it under its fixed address
        return not seen.status & (SEEN_REPLY | DNAT) and self._leaving(seen.source) in self._ours

    def _target(self, seen: Flow) -> bytes | None:
        size = len(seen.destination)
        if seen.protocol in _WITH_PORTS:
            key = seen.destination + bytes([seen.protocol, 0, 0, 0]) + seen.port + bytes(2)
            if found := self._mapped[size].get((key, b"")):
                return found[:size]
        return self._fip[size].get((seen.destination, b""))

    def _leaving(self, source: bytes) -> bytes | None:
        return self._egress[len(source)].get((source, b""))
