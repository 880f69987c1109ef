# SPDX-License-Identifier: Apache-2.0
"""A process inside a machine that sends what it is told and notes which tokens arrive there, on any interface.

Run as a program it reads one JSON order per line: ``{"packet": hex, "to": address}``
by the kernel's routing, ``{"frame": hex, "device": name}`` as it is, or ``{}``. The
answer is what has arrived so far. A token is what `TOKEN` matches.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable

TOKEN = re.compile(rb"\[\[[0-9a-f]{12}\]\]")
_ALL, _OUTGOING = 3, 4
Maker = Callable[[bytes], bytes]
"""Makes a packet that carries this token."""


class Puppet:
    """One such process, as the tests hold it; `command` runs a program inside the machine."""

    def __init__(self, command: Callable[[list[str]], list[str]]) -> None:
        pipe = subprocess.PIPE
        words = command([sys.executable, __file__])
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
        self.seen()

    def send(self, packet: bytes, to: str) -> None:
        """Send an IP packet as it is, whatever its source says, where the kernel routes `to`."""
        self._order({"packet": packet.hex(), "to": to})

    def send_frame(self, raw: bytes, device: str = "eth0") -> None:
        """Send an Ethernet frame as it is."""
        self._order({"frame": raw.hex(), "device": device})

    def seen(self) -> set[str]:
        """Return the tokens that have arrived."""
        return set(self._order({}))

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _order(self, order: dict[str, str]) -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the puppet has ended"
        told: list[str] = json.loads(answer)
        return told


def token() -> bytes:
    """Return a token that nobody else has sent."""
    return f"[[{uuid.uuid4().hex[:12]}]]".encode()


def _listen(link: socket.socket, seen: set[str]) -> None:
    while True:
        raw, (_, _, kind, *_) = link.recvfrom(65535)
        if kind != _OUTGOING:
            seen |= {found.decode() for found in TOKEN.findall(raw)}


def _send(order: dict[str, str]) -> None:
    if "frame" in order:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
            link.bind((order["device"], 0))
            link.send(bytes.fromhex(order["frame"]))
    elif "packet" in order:
        version = socket.AF_INET6 if ":" in order["to"] else socket.AF_INET
        raw = socket.socket(version, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # a packet that the machine itself drops or cannot route is told to the sender
        with raw, contextlib.suppress(OSError):
            raw.sendto(bytes.fromhex(order["packet"]), (order["to"], 0))


def _main() -> None:
    seen: set[str] = set()
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    threading.Thread(target=_listen, args=(link, seen), daemon=True).start()
    for line in sys.stdin:
        _send(json.loads(line))
        sys.stdout.write(json.dumps(sorted(seen)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
