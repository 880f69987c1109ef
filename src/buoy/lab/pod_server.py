# SPDX-License-Identifier: Apache-2.0
"""What a pod of the lab runs: it answers with its name and the client's address.

``pod_server.py NAME UID PORT…``, a port being ``8080`` or ``53/udp``. Over TCP it speaks HTTP/1.1, over UDP
it sends a line for each datagram. It runs without site packages, so that thousands may: it imports nothing of Buoy's.
"""

import asyncio
import os
import sys
from typing import cast


def main() -> None:
    """Serve until killed; the first line on stdout says that every port listens."""
    name, _, *ports = sys.argv[1:]
    asyncio.run(_serve(name, ports))


async def _serve(name: str, ports: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        number, _, protocol = port.partition("/")
        if protocol == "udp":
            await loop.create_datagram_endpoint(lambda: _Datagrams(name), local_addr=("::", int(number)))
        else:
            await loop.create_server(lambda: _Http(name), ["0.0.0.0", "::"], int(number), backlog=1024)
    print("listening", flush=True)
    # nobody reads on: the one who started us may end before us
    os.dup2(2, 1)
    await loop.create_future()


def _line(name: str, client: tuple[str, int]) -> bytes:
    return f"{name} {client[0].removeprefix('::ffff:')}\n".encode()


class _Http(asyncio.Protocol):
    def __init__(self, name: str) -> None:
        self._name = name
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            request, _, self._heard = self._heard.partition(b"\r\n\r\n")
            self._answer(request.lower())

    def _answer(self, request: bytes) -> None:
        body = _line(self._name, self._transport.get_extra_info("peername"))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)
        if b"connection: close" in request or b" http/1.0" in request:
            self._transport.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport is no subclass of what it promises to be
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, _: bytes, client: tuple[str, int]) -> None:
        self._transport.sendto(_line(self._name, client), client)


if __name__ == "__main__":
    main()
