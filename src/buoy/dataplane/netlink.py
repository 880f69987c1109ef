# SPDX-License-Identifier: Apache-2.0
"""Netlink by hand: messages are bytes, attributes are dictionaries of memory slices.

Promises: a batch is sent in windows of 256 messages of which only the last asks
for an acknowledgement (the kernel reports errors unasked), and every refusal is
attributed to the message it is about. The tricky thing: whoever listens must
treat ENOBUFS as "notifications were lost"; `Monitor.drain` says so instead of
raising. Sources: netlink(7), RFC 3549, linux/netlink.h.
"""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from buoy.model.errors import DataplaneError

ROUTE, NETFILTER = 0, 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
NESTED = 0x8000
ATTRIBUTE_MASK = 0x3FFF
DUMP_INTERRUPTED = 0x10

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_CAPPED, _HAS_TLVS = 0x100, 0x200
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 1, 10, 11, 12
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_BUFFER = 32 << 20
_DATAGRAM = 1 << 16
_WINDOW = 256
_TIMEOUT = 10.0


class Refusal(DataplaneError):
    """The kernel's answer to one message: `number` is an errno, `said` the extended acknowledgement."""

    def __init__(self, number: int, said: str) -> None:
        name = errno.errorcode.get(number, str(number))
        super().__init__("netlink", f"{name}: {said or os.strerror(number)}")
        self.number = number


def message(kind: int, flags: int, payload: bytes) -> bytes:
    """Return one request; sequence number and port are filled in when it is sent."""
    return HEADER.pack(16 + len(payload), kind, REQUEST | flags, 0, 0) + payload + b"\0" * (-len(payload) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def attributes(raw: bytes, start: int = 0) -> dict[int, bytes]:
    """Return the attributes of a message or of a nest; of a kind that repeats, the last."""
    found: dict[int, bytes] = {}
    end = len(raw) - 3
    unpack = _ATTRIBUTE.unpack_from
    while start < end:
        length, kind = unpack(raw, start)
        if length < 4:
            break
        found[kind & ATTRIBUTE_MASK] = raw[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def each_attribute(raw: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each attribute in order, for lists whose kinds repeat."""
    end = len(raw)
    unpack = _ATTRIBUTE.unpack_from
    while start + 4 <= end:
        length, kind = unpack(raw, start)
        if length < 4:
            return
        yield kind & ATTRIBUTE_MASK, raw[start + 4 : start + length]
        start += (length + 3) & ~3


def split(raw: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Yield (kind, flags, sequence, port, payload) of every message of one datagram."""
    offset = 0
    while offset + 16 <= len(raw):
        length, kind, flags, sequence, port = HEADER.unpack_from(raw, offset)
        if length < 16:
            return
        yield kind, flags, sequence, port, raw[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _open(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    for option in (_RCVBUFFORCE, _SNDBUFFORCE):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        except PermissionError:
            # inside a user namespace only the capped option is allowed
            sock.setsockopt(socket.SOL_SOCKET, {33: socket.SO_RCVBUF, 32: socket.SO_SNDBUF}[option], _BUFFER)
    for option in (_EXT_ACK, _CAP_ACK):
        sock.setsockopt(_SOL_NETLINK, option, 1)
    sock.bind((0, 0))
    return sock


class Channel:
    """A socket for requests in the network namespace of the thread that makes it."""

    def __init__(self, protocol: int) -> None:
        self._socket = _open(protocol)
        if protocol == ROUTE:
            self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        self._socket.settimeout(_TIMEOUT)
        self._sequence = 0
        self.port: int = self._socket.getsockname()[0]
        self.sent = 0
        """Messages sent in the life of this channel: what a change costs."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, messages: Sequence[bytes]) -> dict[int, Refusal]:
        """Send messages in windows; return the refusals by the index of their message."""
        refusals: dict[int, Refusal] = {}
        for start in range(0, len(messages), _WINDOW):
            window = messages[start : start + _WINDOW]
            for index, refusal in self._window(window, len(window) - 1).items():
                refusals[start + index] = refusal
        return refusals

    def transact(self, messages: Sequence[bytes], acknowledged: int) -> dict[int, Refusal]:
        """Send messages as one datagram, such as an nfnetlink batch; `acknowledged` is the last index answered."""
        return self._window(messages, acknowledged, batch=True)

    def _window(self, messages: Sequence[bytes], last: int, *, batch: bool = False) -> dict[int, Refusal]:
        first = self._sequence + 1
        self._sequence += len(messages)
        self.sent += len(messages)
        packet = bytearray()
        for index, raw in enumerate(messages):
            at = len(packet)
            packet += raw
            struct.pack_into("=I", packet, at + 8, first + index)
            if index == last:
                packet[at + 6] |= ACK
        self._socket.send(packet)
        return self._answers(first, first + last, batch=batch)

    def _answers(self, first: int, last: int, *, batch: bool) -> dict[int, Refusal]:
        refusals: dict[int, Refusal] = {}
        while True:
            try:
                raw = self._socket.recv(_DATAGRAM)
            except OSError as error:
                raise DataplaneError("netlink", f"no answer to {last - first + 1} messages: {error}") from error
            for kind, flags, sequence, _, payload in split(raw):
                if kind != _ERROR or sequence < first:
                    continue
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    refusals.setdefault(sequence - first, Refusal(number, _extended(flags, payload)))
                # a refusal of an nfnetlink batch as a whole is told of its first message, and nothing follows
                if sequence >= last or (number and batch and sequence == first):
                    return refusals

    def ask(self, request: bytes) -> list[bytes]:
        """Return the payloads that answer a request for one object; raise `Refusal` if there is none."""
        self._sequence += 1
        self.sent += 1
        packet = bytearray(request)
        struct.pack_into("=HI", packet, 6, REQUEST | ACK, self._sequence)
        self._socket.send(packet)
        found: list[bytes] = []
        while True:
            for kind, flags, sequence, _, payload in split(self._socket.recv(_DATAGRAM)):
                if sequence != self._sequence:
                    continue
                if kind != _ERROR:
                    found.append(payload)
                    continue
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    raise Refusal(number, _extended(flags, payload))
                return found

    def dump(self, request: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield kind and payload of everything a dump returns; a dump that was interrupted is begun again."""
        for _ in range(8):
            collected, consistent = self._dump_once(request)
            if consistent:
                yield from collected
                return
        raise DataplaneError("netlink dump", "was interrupted eight times by changes")

    def _dump_once(self, request: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        collected: list[tuple[int, bytes]] = []
        consistent = True
        for page in self._datagrams(request):
            for kind, flags, payload in page:
                consistent = consistent and not flags & DUMP_INTERRUPTED
                if kind != _DONE:
                    collected.append((kind, payload))
        return collected, consistent

    def pages(self, request: bytes) -> Iterator[list[bytes]]:
        """Yield the payloads of a dump as they come, for the kernel reads on only when the next are asked for.

        What changes meanwhile may be missing or told twice. Nothing else can be asked of this channel before the end.
        """
        for page in self._datagrams(request):
            yield [payload for kind, _, payload in page if kind != _DONE]

    def _datagrams(self, request: bytes) -> Iterator[list[tuple[int, int, bytes]]]:
        """Yield (kind, flags, payload) of what each datagram of a dump says; raise `Refusal` if it ends with one."""
        self._sequence += 1
        self.sent += 1
        packet = bytearray(request)
        struct.pack_into("=HI", packet, 6, REQUEST | DUMP, self._sequence)
        self._socket.send(packet)
        ended = False
        while not ended:
            page: list[tuple[int, int, bytes]] = []
            for kind, flags, sequence, _, payload in split(self._socket.recv(_DATAGRAM)):
                if sequence != self._sequence:
                    continue
                if kind in (_DONE, _ERROR):
                    number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                    if number:
                        raise Refusal(number, _extended(flags, payload) if kind == _ERROR else "")
                    ended, kind = True, _DONE  # noqa: PLW2901  both end a dump
                page.append((kind, flags, payload))
            yield page


def _extended(flags: int, payload: bytes) -> str:
    if not flags & _HAS_TLVS:
        return ""
    start = 20 if flags & _CAPPED else 4 + struct.unpack_from("=I", payload, 4)[0]
    return attributes(payload, start).get(1, b"").rstrip(b"\0").decode(errors="replace")


class Heard(NamedTuple):
    """One notification; `port` is the netlink port of whose request caused it, 0 for the kernel's own acts."""

    kind: int
    flags: int
    port: int
    payload: bytes


class Monitor:
    """A socket that listens to multicast groups of one netlink family."""

    def __init__(self, protocol: int, groups: Sequence[int]) -> None:
        self._socket = _open(protocol)
        self._socket.setblocking(False)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something happened."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def drain(self) -> tuple[list[Heard], bool]:
        """Return what waits, in order, and whether something was lost."""
        heard: list[Heard] = []
        lost = False
        while True:
            try:
                raw = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                return heard, lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise DataplaneError("netlink monitor", str(error)) from error
                lost = True
                continue
            heard += [Heard(kind, flags, port, payload) for kind, flags, _, port, payload in split(raw)]


def readable(*sources: Monitor, seconds: float) -> bool:
    """Wait until one of the monitors has something to say, at most `seconds`."""
    return bool(select.select(sources, [], [], seconds)[0])
