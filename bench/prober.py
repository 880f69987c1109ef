# SPDX-License-Identifier: Apache-2.0
"""UDP and TCP clients in one machine's namespace, and the guests that answer them.

A flow is one 5-tuple that asks every millisecond, or more rarely, until it is told to stop;
what answers says which guest it is. A flow is dead if nobody ever answers it.
"""

import contextlib
import errno
import select
import socket
import threading
import time
from typing import NamedTuple

from bench import cloudlab

PORT = 7000
_QUESTION = b"?"


class Arrival(NamedTuple):
    """A datagram at a guest: who got it, from which source port, when."""

    guest: str
    port: int
    at: float


class Ears:
    """Guests' UDP servers; they answer with the guest's name and remember the arrivals since `clear`."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._news = threading.Condition()

    def listen(self, process: int, guest: str) -> None:
        """Let a guest answer."""
        server = cloudlab.inside(process, _server)

        def serve() -> None:
            while True:
                _, sender = server.recvfrom(64)
                at = time.perf_counter()
                server.sendto(guest.encode(), sender)
                with self._news:
                    self._arrivals.append(Arrival(guest, sender[1], at))
                    self._news.notify_all()

        threading.Thread(target=serve, daemon=True).start()

    def clear(self) -> None:
        """Forget what has arrived."""
        with self._news:
            self._arrivals.clear()

    def first(self, guest: str, port: int, seconds: float) -> float | None:
        """Wait for a flow to arrive at a guest and return when it first did; None if it did not."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for arrival in self._arrivals:
                    if (arrival.guest, arrival.port) == (guest, port):
                        return arrival.at
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    return None

    def silent(self, port: int, pause: float, seconds: float) -> bool:
        """Wait until a flow has arrived nowhere for a while; tell whether that came."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now = time.perf_counter()
            with self._news:
                last = max((each.at for each in self._arrivals if each.port == port), default=0.0)
            if now - last > pause:
                return True
            time.sleep(pause / 4)
        return False


class Flow:
    """One UDP 5-tuple from a machine to an address, asking every `every` seconds in a thread of its own."""

    def __init__(self, process: int, to: str, every: float) -> None:
        self._socket = cloudlab.inside(process, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.bind(("", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self.answered = False
        self._stopped = False
        self._to, self._every = to, every
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self, after: float = 0.0) -> None:
        """Begin to ask, after some seconds."""
        self._after = after
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        self._thread.join()
        self._socket.close()

    def _ask(self) -> None:
        time.sleep(self._after)
        due = time.perf_counter()
        while not self._stopped:
            with contextlib.suppress(OSError):
                self._socket.sendto(_QUESTION, (self._to, PORT))
            due = max(due + self._every, time.perf_counter() - self._every)
            wait = max(0.0, due - time.perf_counter())
            if select.select([self._socket], [], [], wait)[0]:
                with contextlib.suppress(OSError):
                    self._socket.recv(64)
                    self.answered = True
                time.sleep(max(0.0, due - time.perf_counter()))


def connect(process: int, to: str, port: int, seconds: float) -> str:
    """Begin one TCP connection; return ``made``, ``refused`` if the network said so at once, or ``dead``."""
    client = cloudlab.inside(process, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    client.settimeout(seconds)
    try:
        client.connect((to, port))
    except TimeoutError:
        return "dead"
    except OSError as error:
        return "refused" if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED} else "dead"
    finally:
        client.close()
    return "made"


def _server() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", PORT))
    return server
