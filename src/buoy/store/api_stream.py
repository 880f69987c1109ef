# SPDX-License-Identifier: Apache-2.0
"""One watch of an API server: a body that never ends, cut into its lines.

Promises: only whole lines are given, all that have come at once; a stream that is
cut is `StoreUnavailable`. One that is silent for longer than a server that sends
bookmarks is taken as ended: whether the server is there shows when it is begun anew.
The tricky thing is a line that is cut: what there is of it is thrown away, for the
watch is resumed where the last whole line was.

Source: kubernetes.io, API concepts, "Efficient detection of changes".
"""

import asyncio

import aiohttp

from buoy.model.errors import StoreUnavailable

IDLE = 90.0
"""Seconds of silence after which a watch is begun anew: kube-apiserver sends a bookmark each minute."""
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
        """Return the lines that have come, at least one; none at the end; raise `StoreUnavailable`."""
        parts, size = [self._rest], len(self._rest)
        while piece := await self._piece():
            parts.append(piece)
            size += len(piece)
            if b"\n" in piece:
                *whole, self._rest = b"".join(parts).split(b"\n")
                # blank ones keep a connection open in some proxies
                if lines := [line for line in whole if line.strip()]:
                    return lines
                parts, size = [self._rest], len(self._rest)
            if size > LONGEST:
                raise StoreUnavailable(f"{self._asked}: a line of over {LONGEST} bytes")
        return []

    def close(self) -> None:
        """End the stream and its connection."""
        self._response.close()

    async def _piece(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                return await self._response.content.readany()
        except TimeoutError:
            return b""
        except (aiohttp.ClientError, OSError) as error:
            raise StoreUnavailable(f"{self._asked}: {str(error) or type(error).__name__}") from error
