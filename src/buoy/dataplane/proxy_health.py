# SPDX-License-Identifier: Apache-2.0
"""Whether kube-proxy lives, by its own word: while it hangs, its rules stay and look as good as new.

Promises that only what was seen twice in a row is believed, and that a kube-proxy which
cannot be reached is not taken for dead unless it was reached before, and has not changed its
rules since: its health server may be switched off or moved (`healthzBindAddress`). Three
things are tricky. A process that is frozen takes connections all the same, and answers none.
`/healthz` also says no on a node that is about to leave; `/livez`, of kube-proxy 1.28 and
later, only if the rules are stale, and an older one answers that it has no such page, and
lives. And a long pass of ours blocks the loop that listens: an answer that came meanwhile
was not late, so patience is counted in turns of the loop.
Source: kubernetes/pkg/proxy/healthcheck/proxy_health.go.
"""

import asyncio
import enum
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")

PORT = 10256
PAUSE, PATIENCE = 2.0, 2.0
"""Seconds between two questions, and for an answer."""
_TURNS = 20
"""How often the loop looks for an answer, at least, before there is none."""
_LOOPBACK = ("127.0.0.1", "::1")
_STALE = b"503"


class Answer(enum.StrEnum):
    """What came of a question, as the end of a sentence about kube-proxy."""

    LIVES = ""
    STALE = "says that its rules are stale"
    SILENT = "does not answer"
    UNREACHED = "cannot be reached any more"


class ProxyHealth:
    """What is thought of kube-proxy; `trouble` is what was seen wrong first, empty if it lives as far as is known."""

    def __init__(self) -> None:
        self.trouble = ""
        self._last = Answer.LIVES
        self._was_reached = False

    def hear(self, answer: Answer) -> None:
        """Take what came of one more question."""
        self._was_reached |= answer is not Answer.UNREACHED
        before, self._last = self._last, answer if self._was_reached else Answer.LIVES
        if before is Answer.LIVES and self._last is Answer.LIVES:
            self.trouble = ""
        elif before is not Answer.LIVES and self._last is not Answer.LIVES:
            # another symptom is no news: each word more would have every address looked at again
            self.trouble = self.trouble or self._last.value

    def rules_changed(self) -> None:
        """Take that kube-proxy's rules were seen to change: one that works and cannot be reached listens elsewhere."""
        if self.trouble and self._last is Answer.UNREACHED:
            self.trouble, self._last, self._was_reached = "", Answer.LIVES, False


async def attend(health: ProxyHealth, addresses: Iterable[str], wake: Callable[[], None]) -> None:
    """Ask until cancelled, at a node's own addresses too; `wake` is called whenever `trouble` has changed."""
    hosts = (*_LOOPBACK, *addresses)
    while True:
        before = health.trouble
        health.hear(await ask(hosts))
        if health.trouble != before:
            wake()
        await asyncio.sleep(PAUSE)


async def ask(hosts: Iterable[str] = _LOOPBACK, port: int = PORT) -> Answer:
    """Ask kube-proxy once, at the first of these addresses where anybody listens."""
    for host in hosts:
        answer = await _ask(host, port)
        if answer is not Answer.UNREACHED:
            return answer
    return Answer.UNREACHED


async def _ask(host: str, port: int) -> Answer:
    try:
        reader, writer = await _patiently(asyncio.open_connection(host, port))
    except OSError:
        return Answer.UNREACHED
    try:
        writer.write(f"GET /livez HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        words = (await _patiently(reader.readline())).split()
    except TimeoutError:
        return Answer.SILENT
    except (OSError, ValueError):
        return Answer.UNREACHED
    finally:
        writer.transport.abort()
    if not words:
        return Answer.UNREACHED
    return Answer.STALE if words[1:2] == [_STALE] else Answer.LIVES


async def _patiently(question: Coroutine[None, None, T]) -> T:
    """Return what comes of it; raise `TimeoutError` after PATIENCE in which the loop has turned all the time."""
    asked = asyncio.ensure_future(question)
    try:
        for _ in range(_TURNS):
            await asyncio.wait({asked}, timeout=PATIENCE / _TURNS)
            if asked.done():
                return asked.result()
    finally:
        asked.cancel()
    raise TimeoutError
