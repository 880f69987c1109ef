# SPDX-License-Identifier: Apache-2.0
"""One watch of an API server: a body that never ends, cut into its lines.

Promises: only whole lines are given, all that have come at once; a stream that is
cut, or silent for longer than a server that works ever is, is `StoreUnavailable`.
The tricky thing is a line that is cut: what there is of it is thrown away, for the
watch is resumed where the last whole line was.

Source: kubernetes.io, API concepts, "Efficient detection of changes".
"""

import asyncio

import aiohttp

from buoy.model.errors import StoreUnavailable

IDLE = 90.0
"""Seconds of silence after which a watch is dead: the server sends a bookmark each minute."""
LONGEST = 16 << 20
"""Bytes a line may have: ten times what etcd takes as one object."""


class WatchStream:
    """The lines of one answer, which it owns."""

    def __init__(self, response: aiohttp.ClientResponse, asked: str, idle: float = IDLE) -> None:
        self._response = response
        self._asked = asked
        self._idle = idle
        self._rest = b""

    async def lines(self) -> list[bytes]:
        """Return the lines that have come, at least one; none at the regular end; raise `StoreUnavailable`."""
        parts = [self._rest]
        size = len(self._rest)
        while True:
            piece = await self._piece()
            if not piece:
                return []
            parts.append(piece)
            size += len(piece)
            if b"\n" in piece:
                break
            if size > LONGEST:
                raise StoreUnavailable(f"{self._asked}: a line of over {LONGEST} bytes")
        *whole, self._rest = b"".join(parts).split(b"\n")
        # blank ones keep a connection open in some proxies
        return [line for line in whole if line.strip()] or await self.lines()

    def close(self) -> None:
        """End the stream and its connection."""
        self._response.close()

    async def _piece(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                return await self._response.content.readany()
        except TimeoutError:
            raise StoreUnavailable(f"{self._asked}: silent for {self._idle:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise StoreUnavailable(f"{self._asked}: {str(error) or type(error).__name__}") from error
