# SPDX-License-Identifier: Apache-2.0
"""A TCP stream from the guest `server` to a client that calls it, to see it flow and stop.

Run as a program it is either end: the server sends small pieces
without end; the client prints how many bytes have come, whenever asked by a line.
"""

import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from tests.e2e.cloud import eventually
from tests.e2e.stage import Stage


class Stream:
    """One stream on one port of the server."""

    def __init__(self, stage: Stage, port: int, version: int, client: str = "access") -> None:
        address = stage.address("server", version)
        pipe = subprocess.PIPE

        def run(machine: str, role: str) -> "subprocess.Popen[str]":
            words = stage.cloud.lab.command(machine, [sys.executable, "-c", PROGRAM, role, address, str(port)])
            return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)

        self._server = run("server", "server")
        assert self._server.stdout is not None
        assert "listening\n" == self._server.stdout.readline()
        self._client = run(client, "client")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in (self._client, self._server):
            process.communicate()

    def received(self) -> int:
        """Return how many bytes have come."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write("?\n")
        self._client.stdin.flush()
        return int(self._client.stdout.readline())

    def flows(self) -> None:
        """Demand that more bytes come."""
        before = self.received()
        eventually(self.received, lambda now: now > before)

    def stops(self) -> None:
        """Demand that for two seconds, in which TCP tries several times, none come."""
        eventually(self._still, seconds=15)

    def _still(self) -> bool:
        before = self.received()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if self.received() != before:
                return False
            time.sleep(0.1)
        return True


PROGRAM = """
import socket, sys, threading, time
role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
def call():
    while True:
        try: return socket.create_connection((address, port), timeout=1)
        except OSError: time.sleep(0.05)
def feed(link):
    try:
        while True:
            link.sendall(b"x" * 100)
            time.sleep(0.02)
    except OSError: pass
count = 0
def read():
    global count
    link = call()
    link.settimeout(None)
    while True:
        count += len(link.recv(4096))
def serve(listener):
    while True:
        threading.Thread(target=feed, args=(listener.accept()[0],), daemon=True).start()
if role == "server":
    threading.Thread(target=serve, args=(socket.create_server((address, port), family=family),), daemon=True).start()
    print("listening", flush=True)
else:
    threading.Thread(target=read, daemon=True).start()
# whoever started us is not our parent: that it has gone shows here
for line in sys.stdin:
    print(count, flush=True)
"""
