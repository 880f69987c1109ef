# SPDX-License-Identifier: Apache-2.0
"""Frames of guests: one packet socket per IP version for all interfaces, those of the future too.

Promises: nothing has to be set up when a tap comes, so nothing can be late; the
kernel hands over only DHCP requests and router solicitations.
Tricky: the sockets are bound to the two Ethernet types and not to "all". Such a
socket sees received frames only, costs sent ones nothing, and leaves taps that
another driver put into a bridge to that driver (`packet(7)`).
"""

import ctypes
import socket
import struct
from collections.abc import Iterator

from buoy.dataplane.dhcp_links import force_receive_buffer
from buoy.render.dhcp_frame import IPV4, IPV6

_ATTACH_FILTER = 26
_RECEIVE_BUFFER = 8 << 20
_FRAME = 65535
_BATCH = 256

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HALF_X, _LOAD_X_HEADER = 0x48, 0xB1
_IF_EQUAL, _IF_BITS, _RETURN = 0x15, 0x45, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4
"""Linux takes a VLAN tag off before it hands a frame to us, and only says that it is for another host."""

_Instruction = tuple[int, int, int, int]

_FILTER4: tuple[_Instruction, ...] = (
    (_LOAD_WORD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 8, 0, socket.PACKET_OTHERHOST),
    (_LOAD_BYTE, 0, 0, 23),
    (_IF_EQUAL, 0, 6, 17),
    (_LOAD_HALF, 0, 0, 20),
    (_IF_BITS, 4, 0, 0x1FFF),
    (_LOAD_X_HEADER, 0, 0, 14),
    (_LOAD_HALF_X, 0, 0, 16),
    (_IF_EQUAL, 0, 1, 67),
    (_RETURN, 0, 0, _FRAME),
    (_RETURN, 0, 0, 0),
)
"""For this host or for all, protocol UDP, not a later fragment, destination port 67."""

_FILTER6: tuple[_Instruction, ...] = (
    (_LOAD_WORD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 8, 0, socket.PACKET_OTHERHOST),
    (_LOAD_BYTE, 0, 0, 20),
    (_IF_EQUAL, 0, 2, 17),
    (_LOAD_HALF, 0, 0, 56),
    (_IF_EQUAL, 3, 4, 547),
    (_IF_EQUAL, 0, 3, 58),
    (_LOAD_BYTE, 0, 0, 54),
    (_IF_EQUAL, 0, 1, 133),
    (_RETURN, 0, 0, _FRAME),
    (_RETURN, 0, 0, 0),
)
"""For this host or for all; UDP to port 547, or ICMPv6 type 133."""


class GuestSocket:
    """Frames of one IP version from all interfaces of this network namespace."""

    def __init__(self, ethertype: int) -> None:
        self._ethertype = ethertype
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        # what arrives before the filter is in place is queued, and found by its reader to be none of ours
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(ethertype))
        _attach(self._socket, _FILTER4 if ethertype == IPV4 else _FILTER6)
        force_receive_buffer(self._socket, _RECEIVE_BUFFER)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a guest asks."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def frames(self) -> Iterator[tuple[str, bytes]]:
        """Yield interface and frame of at most 256 waiting requests; those of a vanished interface are left out."""
        for _ in range(_BATCH):
            try:
                frame, sender = self._socket.recvfrom(_FRAME)
            except BlockingIOError:
                return
            if sender[0]:
                yield sender[0], frame

    def send(self, interface: str, frame: bytes) -> None:
        """Send a frame; raise `OSError` if the interface is gone, down or full."""
        self._socket.sendto(frame, (interface, self._ethertype))


def open_sockets() -> tuple[GuestSocket, GuestSocket]:
    """Return the sockets for IPv4 and IPv6; raise `PermissionError` without CAP_NET_RAW."""
    return GuestSocket(IPV4), GuestSocket(IPV6)


def _attach(to: socket.socket, program: tuple[_Instruction, ...]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    to.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer)))
