# SPDX-License-Identifier: Apache-2.0
"""Listeners inside a lab's machines: when its kernel has which next hops, and what kube-proxy forwards there.

Run as a program inside a machine (``routes``, ``announcements`` or ``proxy``) it prints a line for each change, with
the moment of CLOCK_MONOTONIC, which all machines share. Promises to know nothing of the agent's own mirror, and to have
its turn before the daemons it watches: it runs under SCHED_FIFO, so a busy machine does not make it late. The
tricky thing is a large transaction, of which the end comes while its beginning is looked into: what has come is
taken in, with its moment, before every message.
"""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from buoy.dataplane import netlink, nft_wire, proxy_wire
from buoy.dataplane.proxy_wire import Map
from buoy.lab.lab import Lab

_PATIENCE = 60.0
_MAIN, _ANNOUNCED, _NEWROUTE, _HOST_LENGTH, _ROUTES4 = 254, 2053, 24, 32, 7
_TABLE = 15
_DATAGRAM = 1 << 16
"""Bytes: more than the kernel puts into one."""
_DST, _GATEWAY, _MULTIPATH = 1, 5, 9
_HOP = struct.Struct("=HBBi")


class Change(NamedTuple):
    """What an address became at a moment: its route's gateways, ``forwarded`` or ``announced``; or nothing."""

    at: float
    address: str
    now: frozenset[str]


class Ears:
    """What one machine's listener has told so far, by address and in order."""

    def __init__(self) -> None:
        self._told: defaultdict[str, list[Change]] = defaultdict(list)
        self._news = threading.Condition()
        self.count = 0

    def take(self, change: Change) -> None:
        """Hear of a change."""
        with self._news:
            self._told[change.address].append(change)
            self.count += 1
            self._news.notify_all()

    def history(self, address: str) -> list[Change]:
        """Return what has become of an address."""
        with self._news:
            return list(self._told.get(address, ()))

    def forget(self, address: str) -> None:
        """Forget what has become of an address."""
        with self._news:
            self._told.pop(address, None)

    def became(self, address: str, wanted: Callable[[frozenset[str]], bool], since: float = 0.0) -> float:
        """Wait for an address to be as wanted and return when it first was, from a moment on."""
        deadline = time.monotonic() + _PATIENCE
        with self._news:
            while True:
                for change in self._told.get(address, ()):
                    if change.at >= since and wanted(change.now):
                        return change.at
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    raise TimeoutError(f"{address}: {self._told.get(address)} after {_PATIENCE:g} s")


@contextlib.contextmanager
def listening(lab: Lab, machine: str, what: str) -> Iterator[Ears]:
    """Listen on a machine while the block lasts."""
    ears = Ears()
    command = lab.command(machine, [sys.executable, str(Path(__file__).resolve()), what])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n", f"no listener on {machine}"
    lines = process.stdout

    def read() -> None:
        for line in lines:
            at, address, *now = line.split()
            ears.take(Change(float(at), address, frozenset(now)))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield ears
    finally:
        process.stdin.close()
        process.wait(10)
        reader.join()
        process.stdout.close()


def _say(at: float, address: str, now: str) -> None:
    sys.stdout.write(f"{at:.6f} {address} {now}\n")


def _routes() -> None:
    for at, event, found in _host_routes(_MAIN):
        gateways = list(_gateways(found)) if event.kind == _NEWROUTE else []
        _say(at, socket.inet_ntoa(found[_DST]), " ".join(gateways))


def _announcements() -> None:
    """Say what the agent announces, which BIRD reads in a table of its own."""
    for at, event, found in _host_routes(_ANNOUNCED):
        _say(at, socket.inet_ntoa(found[_DST]), "announced" if event.kind == _NEWROUTE else "")


def _host_routes(wanted: int) -> Iterator[tuple[float, netlink.Heard, dict[int, bytes]]]:
    for at, event in _heard(netlink.Monitor(netlink.ROUTE, (_ROUTES4,))):
        family, length, _, _, _, _, _, _, _ = struct.unpack_from("=BBBBBBBBI", event.payload)
        found = netlink.attributes(event.payload, 12)
        table = int.from_bytes(found[_TABLE], sys.byteorder)
        if (family, length, table) == (socket.AF_INET, _HOST_LENGTH, wanted):
            yield at, event, found


def _gateways(found: dict[int, bytes]) -> Iterator[str]:
    if _GATEWAY in found:
        yield socket.inet_ntoa(found[_GATEWAY])
    hops, start = found.get(_MULTIPATH, b""), 0
    while start + _HOP.size <= len(hops):
        length = _HOP.unpack_from(hops, start)[0]
        inner = netlink.attributes(hops[start : start + length], _HOP.size)
        if _GATEWAY in inner:
            yield socket.inet_ntoa(inner[_GATEWAY])
        start += (length + 3) & ~3


def _proxy() -> None:
    monitor = netlink.Monitor(netlink.NETFILTER, (nft_wire.GROUP,))
    held: dict[Map, set[bytes]] = {each: set() for each in Map}
    touched: set[bytes] = set()
    for at, event in _heard(monitor):
        if event.kind == nft_wire.NEWGEN:
            for raw in touched:
                forwards = raw in held[Map.FORWARDED] and raw not in held[Map.REFUSED]
                _say(at, socket.inet_ntoa(raw), "forwarded" if forwards else "")
            touched.clear()
        elif event.payload[0] == socket.AF_INET and proxy_wire.concerns(event.payload):
            which = proxy_wire.named(event.payload)
            # one port for each address: the address alone is the key
            raws = {key[:4] for key in proxy_wire.keys(event.payload)} if which else set()
            if which and event.kind == nft_wire.NEWELEMENT:
                held[which] |= raws
                touched |= raws
            elif which and event.kind == nft_wire.DELELEMENT:
                held[which] -= raws
                touched |= raws


def _heard(monitor: netlink.Monitor) -> Iterator[tuple[float, netlink.Heard]]:
    """Yield what is heard, with the moment it was, until nobody holds our input open."""
    coming: deque[tuple[float, Iterator[tuple[int, int, int, int, bytes]]]] = deque()
    while True:
        # that some were lost is an OSError, and ends this
        with contextlib.suppress(BlockingIOError):
            while True:
                coming.append((time.monotonic(), netlink.split(os.read(monitor.fileno(), _DATAGRAM))))
        if not coming:
            sys.stdout.flush()
            if sys.stdin in select.select([monitor, sys.stdin], [], [])[0]:
                return
            continue
        at, messages = coming[0]
        if (message := next(messages, None)) is None:
            coming.popleft()
            continue
        kind, flags, _, port, payload = message
        yield at, netlink.Heard(kind, flags, port, payload)


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    sys.stdout.write("listening\n")
    {"routes": _routes, "announcements": _announcements, "proxy": _proxy}[sys.argv[1]]()
