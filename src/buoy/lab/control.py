# SPDX-License-Identifier: Apache-2.0
"""The lab's control socket: one JSON line asks, one JSON line answers, then the connection ends.

A question is ``{"do": NAME, …arguments}``; an answer is ``{"ok": …}`` or
``{"error": TEXT}``. With an answer about a machine comes a pidfd of its holder,
because the two sides see different process ids.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from buoy.lab.place import control_socket
from buoy.model.errors import BuoyError

_LONGEST = 1 << 20


class Entrance(msgspec.Struct, frozen=True):
    """An answer that carries a process to enter."""

    process: int
    about: Any = None


Handler = Callable[..., Awaitable[Any]]
"""Answers one kind of question with what JSON can say, or with an `Entrance`."""


async def serve(lab: Path, handlers: Mapping[str, Handler]) -> None:
    """Answer questions for ever."""
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(str(control_socket(lab)))
    listener.listen(64)
    talks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        talk = asyncio.create_task(_talk(connection, handlers))
        talks.add(talk)
        talk.add_done_callback(talks.discard)


async def _talk(connection: socket.socket, handlers: Mapping[str, Handler]) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        raw = b""
        while not raw.endswith(b"\n") and len(raw) < _LONGEST:
            chunk = await loop.sock_recv(connection, 65536)
            if not chunk:
                return
            raw += chunk
        answer = await _answer(raw, handlers)
        try:
            if isinstance(answer, Entrance):
                _hand_over(connection, answer.process)
                answer = {"ok": answer.about}
            await loop.sock_sendall(connection, msgspec.json.encode(answer) + b"\n")
        except OSError:
            pass  # who asked has gone


async def _answer(raw: bytes, handlers: Mapping[str, Handler]) -> Any:
    try:
        question = msgspec.json.decode(raw, type=dict[str, Any])
        handler = handlers[question.pop("do", "")]
        result = await handler(**question)
    except KeyError as error:
        return {"error": f"the lab knows no {error}"}
    except (BuoyError, msgspec.MsgspecError, TypeError, OSError) as error:
        return {"error": str(error)}
    return result if isinstance(result, Entrance) else {"ok": result}


def _hand_over(connection: socket.socket, process: int) -> None:
    descriptor = os.pidfd_open(process)
    try:
        # a blank before the JSON text: a descriptor must travel with at least one byte
        socket.send_fds(connection, [b" "], [descriptor])
    finally:
        os.close(descriptor)


def ask(lab: Path, do: str, **arguments: Any) -> tuple[Any, int | None]:
    """Ask a lab's first process; return its answer and, where it gave one, the pidfd of a process.

    Raises `ConnectionError` if the lab does not answer, `LabError` with its words if it says no.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(control_socket(lab)))
        connection.sendall(msgspec.json.encode({"do": do, **arguments}) + b"\n")
        raw, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
        while not raw.endswith(b"\n"):
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionResetError(f"the lab ended while it was asked to {do}")
            raw += chunk
    answer = msgspec.json.decode(raw, type=dict[str, Any])
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["ok"], descriptors[0] if descriptors else None


class LabError(BuoyError):
    """The lab cannot do what was asked: the text says what is wrong and what to do."""
