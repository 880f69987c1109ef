# SPDX-License-Identifier: Apache-2.0
"""The agent's local socket: questions from the command line, one JSON line each way.

Only root of this host reaches it. A question never changes anything but where
its name says so (`release-guard`, `drain`, `undrain`), and nothing once whoever asked has given up.
"""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from buoy.model import ownership
from buoy.model.errors import BuoyError, InvalidInput

PATIENCE = 15.0
"""Seconds in which an agent answers that does not hang: `plan` and `audit` read the whole host."""

Answer = Callable[[Mapping[str, Any]], Any]


async def listen(answers: Mapping[str, Answer], path: str = ownership.AGENT_SOCKET) -> asyncio.Server:
    """Listen until the returned server is closed; `answers` maps a question's name to a function of its arguments."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # whoever asks may leave before the answer: `buoy agent cleanup` only knocks
        with contextlib.suppress(ConnectionError):
            if line := await reader.readline():
                writer.write(_reply(answers, line) + b"\n")
                await writer.drain()
        writer.close()

    socket = Path(path)
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, path, limit=1 << 20)
    socket.chmod(0o600)
    return server


def _reply(answers: Mapping[str, Answer], line: bytes) -> bytes:
    try:
        question = json.loads(line)
        answer = answers[question["ask"]]
        if question.get("until", math.inf) < time.monotonic():
            return msgspec.json.encode({"error": "whoever asked has given up"})
    except (ValueError, KeyError, TypeError):
        return msgspec.json.encode({"error": f"ask one of {', '.join(sorted(answers))}"})
    try:
        return msgspec.json.encode({"answer": answer(question)})
    except (BuoyError, OSError) as error:
        return msgspec.json.encode({"error": str(error)})


async def ask(
    name: str,
    path: str = ownership.AGENT_SOCKET,
    patience: float = PATIENCE,
    **arguments: object,
) -> Any:  # noqa: ANN401  JSON
    """Ask this host's agent; raise `InvalidInput` if none listens, it is silent, or the question is wrong."""
    question = json.dumps({"ask": name, "until": time.monotonic() + patience, **arguments}).encode() + b"\n"
    try:
        async with asyncio.timeout(patience):
            reply = await _exchange(path, question)
    except TimeoutError as error:
        remedy = f"the agent does not answer within {patience:g} s, and will do nothing: journalctl -u buoy-agent"
        raise InvalidInput("agent", name, remedy) from error
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        # it was killed meanwhile, or has no room for one more who asks
        reply = {}
    if "answer" not in reply:
        raise InvalidInput("agent", name, str(reply.get("error", "the agent closed the connection; see its log")))
    return reply["answer"]


async def _exchange(path: str, question: bytes) -> dict[str, Any]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=64 << 20)
    except OSError as error:
        raise InvalidInput(
            "agent", path, f"no agent listens on this host ({error.strerror}): systemctl status buoy-agent"
        ) from error
    try:
        writer.write(question)
        await writer.drain()
        reply: dict[str, Any] = json.loads(await reader.readline() or b"{}")
    finally:
        writer.close()
    return reply
