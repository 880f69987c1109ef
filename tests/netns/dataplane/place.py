# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for tests: sockets and functions inside them, without a process for each packet."""

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def entered(path: str) -> Iterator[None]:
    """Put the calling thread into a namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        _set(there)
        yield
    finally:
        _set(here)
        os.close(here)
        os.close(there)


def _set(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Place:
    """One namespace, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")
        # duplicate address detection would keep link-local addresses silent for the first second
        self.exec("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def remove(self) -> None:
        run("ip", "netns", "del", self.name)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def exec(self, *words: str, text: str = "") -> str:
        return run("ip", "netns", "exec", self.name, *words, text=text)

    def wait_for_carrier(self, interface: str) -> None:
        """Wait until IPv6 believes in a link; the kernel tells it up to a second late."""
        while "state UP" not in self.ip("link", "show", interface):
            time.sleep(0.02)

    @contextlib.contextmanager
    def watching(self, what: str) -> Iterator[list[list[str]]]:
        """Collect what `ip monitor` tells meanwhile, as words of lines."""
        words = ("ip", "-n", self.name, "-o", "monitor", what)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            # a route of ours to nowhere marks beginning and end
            mark = ("blackhole", "192.0.2.255/32", "table", "77")
            os.set_blocking(process.stdout.fileno(), True)
            while not select.select([process.stdout], [], [], 0.05)[0]:
                self.ip("route", "replace", *mark)
            lines: list[list[str]] = []
            yield lines
            self.ip("route", "del", *mark)
            for line in process.stdout:
                if "table 77" in line and line.startswith("Deleted"):
                    break
                if "table 77" not in line:
                    lines.append(line.split())
            process.terminate()

    def inside(self, function: Callable[[], T]) -> T:
        """Call a function in this namespace, in a thread of its own."""
        result: list[T] = []

        def body() -> None:
            with entered(self.path):
                result.append(function())

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return result[0]

    def socket(self, kind: int, address: str = "", port: int = 0) -> socket.socket:
        """Return a socket of this namespace, bound, that waits 0.25 s at most."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def make() -> socket.socket:
            sock = socket.socket(family, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.settimeout(0.25)
            sock.bind((address, port))
            return sock

        return self.inside(make)


def run(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def says(client: socket.socket, server: socket.socket, to: tuple[str, int]) -> tuple[str, str] | None:
    """Send a datagram and answer it; return the address each side sees of the other, the server first."""
    with contextlib.suppress(OSError):
        client.sendto(b"?", to)
        try:
            _, seen = server.recvfrom(100)
        except TimeoutError:
            return None
        server.sendto(b"!", seen)
        _, answered = client.recvfrom(100)
        return seen[0], answered[0]
    return None


def remove_all(prefix: str) -> None:
    """Remove what an interrupted run has left."""
    for path in Path("/run/netns").glob(f"{prefix}*"):
        run("ip", "netns", "del", path.name)
