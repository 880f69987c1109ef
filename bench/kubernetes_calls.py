# SPDX-License-Identifier: Apache-2.0
"""A client that calls an address again and again, each time by a new connection, from before the address exists.

Run as a program in a machine (``ADDRESS PORT SECONDS-BETWEEN``) it prints a line for each call in the order of their
ends: ``ok``, or what went wrong, until its input is closed. Whoever is called answers HTTP.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from buoy.lab.lab import Lab

_SECONDS = 2.0
"""How long a call may take: longer than a segment that is lost and sent again."""
NO_ROUTE = ("101", "113")
"""ENETUNREACH and EHOSTUNREACH: nobody announces the address, and the ToR says so."""

RESET = "104"
"""ECONNRESET: whoever had the connection has it no more."""


class Calls:
    """A running client on a machine of a lab."""

    def __init__(self, lab: Lab, address: str, every: float, machine: str = "client") -> None:
        words = [sys.executable, str(Path(__file__).resolve()), address, "80", str(every)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(lab.command(machine, words), stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "calling\n", f"no client on {machine}"

    def end(self) -> list[str]:
        """Let open calls end; return what each call said."""
        return self._process.communicate(timeout=_SECONDS + 10)[0].splitlines()


def before_and_after(said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what calls said before the first that was answered, other than that there is no route; and after it."""
    first = next((number for number, line in enumerate(said) if line == "ok"), len(said))
    return [line for line in said[:first] if line not in NO_ROUTE], [line for line in said[first:] if line != "ok"]


async def _call(address: str, port: int) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            writer.close()
        sys.stdout.write("ok\n" if b" 200 " in answer[:20] else f"answer {answer[:40]!r}\n")
    except TimeoutError:
        sys.stdout.write("lost\n")
    except OSError as error:
        sys.stdout.write(f"{error.errno}\n")


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
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
