# SPDX-License-Identifier: Apache-2.0
"""A client that calls an address fifty times a second, each time by a new connection, and counts what is not answered.

Run as a program it is that client: it prints a line for each call, ``ok``, ``moved`` if it was reset after it was
made, or what else went wrong.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster
from tests.e2e.talking import running

_SECONDS = 2.0
"""How long a call may take: longer than a segment that is lost and sent again."""
_MOVED = "moved"
_OPEN = 2
"""Connections that are open at a time: one begins every 20 ms, and takes some on a busy machine."""


@contextmanager
def calls(cluster: Cluster, address: str, port: int = 80, machine: str = "client") -> Iterator[list[str]]:
    """Call an address while the block lasts, and give a line for each call; open ones are waited for at the end."""
    command = [sys.executable, "-c", PROGRAM, address, str(port), str(_SECONDS)]
    with running(cluster, machine, *command) as said:
        yield said


@contextmanager
def every_call_answered(
    cluster: Cluster, address: str, port: int = 80, machine: str = "client", *, joining: int = 0
) -> Iterator[None]:
    """Demand that no call fails while the block lasts.

    When a next hop joins, a router without resilient hashing spreads anew (RFC 2992) and sends packets of some open
    connections to another node, which resets them. Nobody behind the router can help that: for each hop that is
    `joining`, as many connections as are open at a time may end so, once they were made.
    """
    eventually(lambda: cluster.http(address, port, machine))
    with calls(cluster, address, port, machine) as said:
        eventually(lambda: len(said) > 5)
        yield
    failed = [f"call {number}: {line}" for number, line in enumerate(said) if line not in {"ok", _MOVED}]
    assert [] == failed, f"of {len(said)} calls these: {failed}"
    moved = said.count(_MOVED)
    assert moved <= _OPEN * joining, f"{moved} of {len(said)} calls were reset after they were made"


PROGRAM = """
import asyncio, sys
address, port, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

async def call():
    made = False
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(address, port)
            made = True
            writer.write(b"GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
            answer = await reader.read()
            writer.close()
        print("ok" if b" 200 " in answer.split(b"\\r\\n")[0] + b" " else repr(answer[:60]), flush=True)
    except (OSError, TimeoutError) as error:
        moved = made and isinstance(error, ConnectionResetError)
        print("moved" if moved else f"{type(error).__name__} {error}", flush=True)

async def main():
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    open_calls = set()
    while not ended.done():
        one = asyncio.create_task(call())
        open_calls.add(one)
        one.add_done_callback(open_calls.discard)
        await asyncio.sleep(0.02)
    await asyncio.gather(*open_calls)

asyncio.run(main())
"""
