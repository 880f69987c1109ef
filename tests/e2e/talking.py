# SPDX-License-Identifier: Apache-2.0
"""Conversations that go on while a test changes the cloud; see `talk.py` for what their ends say."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.e2e.cloud import Machines, eventually

SCRIPT = Path(__file__).with_name("talk.py")
PORT = 7000


class Said(list[str]):
    """The lines a program has printed so far."""

    def more(self, wanted: str, seconds: float = 15) -> str:
        """Return the next line that contains `wanted`, of those printed from now on."""
        return self.after(len(self), wanted, seconds)

    def after(self, start: int, wanted: str, seconds: float = 15) -> str:
        """Return the first line from `start` on that contains `wanted`, waiting for it."""
        found = eventually(lambda: [line for line in self[start:] if wanted in line] or None, seconds=seconds)
        assert found is not None
        return found[0]


@contextmanager
def running(cloud: Machines, machine: str, *command: str) -> Iterator[Said]:
    """Run a program on a machine for as long as the block lasts, and give what it has printed."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(cloud.lab.command(machine, command), stdin=pipe, stdout=pipe, text=True)
    said = Said()
    reader = threading.Thread(target=_read, args=(process, said))
    reader.start()
    try:
        yield said
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def talk(cloud: Machines, machine: str, *words: str) -> AbstractContextManager[Said]:
    """Run `talk.py` on a machine."""
    return running(cloud, machine, sys.executable, str(SCRIPT), *words)


def _read(process: "subprocess.Popen[str]", said: Said) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.strip())


def ask(cloud: Machines, machine: str, protocol: str, address: str, *at: str | int) -> str:
    """Ask `talk.py answer` once and return ``NAME CLIENT LOCAL``: who answers, and which addresses it sees.

    `at` is the port, `PORT` if it is left out, and the address to ask from.
    """
    words = [protocol, address, *map(str, at or (PORT,))]
    return cloud.on(machine, sys.executable, str(SCRIPT), "ask", *words).strip()


def sniff(cloud: Machines, machine: str, expression: str) -> AbstractContextManager[Said]:
    """Print every packet that reaches a guest and matches an expression of pcap-filter(7)."""
    script = f"tcpdump -n -l -p -i eth0 -Q in '{expression}' & cat; kill $!"
    return running(cloud, machine, "sh", "-c", script)
