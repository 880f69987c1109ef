# SPDX-License-Identifier: Apache-2.0
"""Our ends of the taps, told by the kernel (rtnetlink): MAC address, link-local address, up or not.

Promises: `drain` returns the interfaces that became able to carry a frame; what it
has read is what the kernel said last, and a lost notification leads to a new dump.
Tricky: an interface is told of before the first frame can arrive on it, so whoever
drains before reading frames always knows where they come from.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator

from buoy.model.errors import DataplaneError
from buoy.render.dhcp_ra import Station

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 18, 20, 21, 22
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_GROUPS = 0x1 | 0x100
"""RTMGRP_LINK and RTMGRP_IPV6_IFADDR."""

_ADDRESS, _NAME = 1, 3
_UP_AND_CARRIER = 0x1 | 0x40
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_RECEIVE_BUFFER = 8 << 20
_DATAGRAM = 1 << 17
_INET6 = int(socket.AF_INET6)
_LINK_LOCAL = b"\xfe\x80"


class _Link:
    """One interface as last told of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mac = bytes(6)
        self.up = False


class LinkMirror:
    """Every interface of this network namespace by name."""

    def __init__(self) -> None:
        self._links: dict[int, _Link] = {}
        self._indexes: dict[str, int] = {}
        self._link_local: dict[int, bytes] = {}
        self._arrived: set[str] = set()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        force_receive_buffer(self._socket, _RECEIVE_BUFFER)
        self._socket.bind((0, _GROUPS))
        self._socket.setblocking(False)
        self._list()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something changed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def station(self, interface: str) -> Station | None:
        """Return our end of an interface; None if it does not exist.

        Where the kernel has no link-local address (yet), the one it would form from the MAC address (RFC 4291, A).
        """
        index = self._indexes.get(interface)
        if index is None:
            return None
        mac = self._links[index].mac
        formed = _LINK_LOCAL + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
        return Station(mac, self._link_local.get(index, formed))

    def is_up(self, interface: str) -> bool:
        """Tell whether a frame sent now would reach the guest."""
        index = self._indexes.get(interface)
        return index is not None and self._links[index].up

    def drain(self) -> set[str]:
        """Take in what the kernel said, without waiting; return interfaces that came up or changed their addresses."""
        while True:
            try:
                self._take(self._socket.recv(_DATAGRAM))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._relist()
        arrived, self._arrived = self._arrived, set()
        return arrived

    def _list(self) -> None:
        """Ask for everything on a socket of its own, where no notification gets in between."""
        self._links.clear()
        self._indexes.clear()
        self._link_local.clear()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asking:
            for kind, body in ((_GETLINK, _LINK.pack(0, 0, 0, 0, 0)), (_GETADDR, _IFADDR.pack(_INET6, 0, 0, 0, 0))):
                asking.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
                while not self._take(asking.recv(_DATAGRAM)):
                    pass

    def _relist(self) -> None:
        """Begin anew after notifications were lost: those still queued are older than what is listed now."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(_DATAGRAM):
                pass
        self._list()

    def _take(self, datagram: bytes) -> bool:
        """Take in messages; tell whether a dump ended with them."""
        done = False
        for kind, body in _messages(datagram):
            if kind == _DONE:
                done = True
            elif kind == _ERROR:
                raise DataplaneError("rtnetlink dump", os.strerror(-struct.unpack_from("=i", body)[0]))
            elif kind == _NEWLINK:
                self._new_link(body)
            elif kind == _DELLINK:
                self._gone(body)
            elif kind in (_NEWADDR, _DELADDR):
                self._address(body, present=kind == _NEWADDR)
        return done

    def _new_link(self, body: bytes) -> None:
        family, _, index, flags, _ = _LINK.unpack_from(body)
        if family != socket.AF_UNSPEC:
            # a bridge tells of its ports with the same message and other attributes
            return
        attributes = dict(_attributes(body[_LINK.size :]))
        name = attributes[_NAME].rstrip(b"\0").decode("utf-8", "surrogateescape")
        link = self._links.setdefault(index, _Link(name))
        was = link.up, link.mac, link.name
        link.mac = attributes.get(_ADDRESS, b"").ljust(6, b"\0")[:6]
        link.up = flags & _UP_AND_CARRIER == _UP_AND_CARRIER
        if link.name != name:
            self._indexes.pop(link.name, None)
            link.name = name
        self._indexes[name] = index
        if link.up and was != (True, link.mac, name):
            self._arrived.add(name)

    def _gone(self, body: bytes) -> None:
        family, _, index, _, _ = _LINK.unpack_from(body)
        if family != socket.AF_UNSPEC:
            return
        link = self._links.pop(index, None)
        self._link_local.pop(index, None)
        if link is not None and self._indexes.get(link.name) == index:
            del self._indexes[link.name]

    def _address(self, body: bytes, *, present: bool) -> None:
        family, _, _, _, index = _IFADDR.unpack_from(body)
        address = dict(_attributes(body[_IFADDR.size :])).get(_ADDRESS, b"")
        if family != socket.AF_INET6 or address[:2] != _LINK_LOCAL:
            return
        if not present:
            if self._link_local.get(index) == address:
                del self._link_local[index]
        elif self._link_local.get(index) != address:
            self._link_local[index] = address
            if index in self._links and self._links[index].up:
                self._arrived.add(self._links[index].name)


def force_receive_buffer(of: socket.socket, size: int) -> None:
    """Ask for a receive buffer beyond the system's limit; without CAP_NET_ADMIN be content with the limit."""
    so_rcvbufforce = 33
    try:
        of.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, size)
    except PermissionError:
        of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, at)
        if length < _HEADER.size:
            return
        yield kind, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(raw):
        length, kind = struct.unpack_from("=HH", raw, at)
        if length < 4:
            return
        yield kind & 0x3FFF, raw[at + 4 : at + length]
        at += (length + 3) & ~3
