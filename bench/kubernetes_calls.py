# SPDX-License-Identifier: Apache-2.0
"""A client that calls an address again and again, each time by a new connection, from before the address exists.

Run as a program in a machine (``ADDRESS PORT SECONDS-BETWEEN``) it prints a line for each call in the order of their
ends: when it was begun, and ``ok``, ``resent`` or what went wrong, until its input is closed. Whoever is called answers
HTTP.
"""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from buoy.lab.lab import Lab

_SECONDS = 2.0
"""How long a call may take: longer than a segment that is lost and sent again."""
NO_ROUTE = ("101", "113")
"""ENETUNREACH and EHOSTUNREACH: nobody announces the address, and the ToR says so."""

RESET = "104"
"""ECONNRESET: whoever had the connection has it no more."""


LOST = "lost"
"""Nobody answered for `_SECONDS`."""

RESENT = "resent"
"""Answered, but a segment was lost on the way, as the kernel counts them: nobody forwarded it."""
_TOTAL_RETRANS = struct.Struct("=100xI")
"""tcpi_total_retrans in struct tcp_info of linux/tcp.h."""


class Call(NamedTuple):
    """A call: when it was begun, by CLOCK_MONOTONIC, and ``ok``, ``resent`` or what went wrong."""

    began: float
    said: str


class Calls:
    """A running client on a machine of a lab."""

    def __init__(self, lab: Lab, address: str, every: float, machine: str = "client") -> None:
        words = [sys.executable, str(Path(__file__).resolve()), address, "80", str(every)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(lab.command(machine, words), stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "calling\n", f"no client on {machine}"

    def end(self) -> list[Call]:
        """Let open calls end; return what each call said, in the order of their ends."""
        lines = self._process.communicate(timeout=_SECONDS + 10)[0].splitlines()
        return [Call(float(began), said) for began, _, said in (line.partition(" ") for line in lines)]


def before_and_after(said: Sequence[Call], routed: float) -> tuple[list[str], list[str]]:
    """Return what calls said before the first that was answered, other than that there is no route; and after it.

    Of calls begun before the moment `routed`, when the address got a route, only those count that somebody refused:
    of a router without a route one hears but now and then (icmp_ratelimit).
    """
    counted = [call for call in said if call.began >= routed or call.said not in {LOST, RESENT, *NO_ROUTE}]
    first = next((number for number, call in enumerate(counted) if call.said == "ok"), len(counted))
    before = [call.said for call in counted[:first] if call.said not in NO_ROUTE]
    return before, [call.said for call in counted[first:] if call.said != "ok"]


async def _call(address: str, port: int) -> None:
    began = time.monotonic()
    said = await _said(address, port)
    sys.stdout.write(f"{began:.6f} {said}\n")


async def _said(address: str, port: int) -> str:
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            resent = _resent(writer.get_extra_info("socket"))
            writer.close()
    except TimeoutError:
        return LOST
    except OSError as error:
        return str(error.errno)
    if b" 200 " not in answer[:20]:
        return f"answer {answer[:40]!r}"
    return RESENT if resent else "ok"


def _resent(connection: socket.socket) -> int:
    """Return how many segments of a connection, its SYN among them, were sent again."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANS.size)
    return int(_TOTAL_RETRANS.unpack(told)[0])


async def _main(address: str, port: int, every: float) -> None:
    sys.stdout.write("calling\n")
    sys.stdout.flush()
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    calls: set[asyncio.Task[None]] = set()
    while not ended.done():
        one = asyncio.create_task(_call(address, port))
        calls.add(one)
        one.add_done_callback(calls.discard)
        await asyncio.sleep(every)
    await asyncio.gather(*calls)


if __name__ == "__main__":
    # a client that waits for a processor would take that for a call that was lost
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
