# SPDX-License-Identifier: Apache-2.0
"""BIRD's control socket: one command, one reply.

A reply is lines of four digits and a dash, the last with a space instead; a line
that begins with a space has the code of the one before. Codes from 8000 are a
*no*: 8xxx at run time, 9xxx for a command BIRD did not understand.
"""

import contextlib
import re
import socket
from collections.abc import Iterator

import msgspec

from buoy.model.errors import DataplaneError

TIMEOUT = 1.0
"""Seconds of silence after which BIRD counts as away; a listing of 10,000 routes takes 15 ms, and the agent waits."""

_LAST = re.compile(rb"(?:^|\n)(\d{4}) [^\n]*\n\Z")


class Reply(msgspec.Struct, frozen=True):
    """Lines with their codes removed; `code` is that of the last."""

    code: int
    lines: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether BIRD said no."""
        return self.code >= 8000

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines)


class Birdc:
    """An open connection; use `connect`."""

    def __init__(self, wire: socket.socket, path: str) -> None:
        self._wire = wire
        self._path = path
        self._read()

    def ask(self, command: str) -> Reply:
        """Return BIRD's reply; raise `DataplaneError` if it is silent, closes, or the command is not one line."""
        if "\n" in command:
            raise DataplaneError(f"birdc {command!r}", "a command is one line")
        try:
            self._wire.sendall(command.encode() + b"\n")
        except OSError as error:
            raise _away(self._path, _in_words(error)) from error
        return self._read()

    def _read(self) -> Reply:
        raw = b""
        # only the tail is searched, so that a reply of megabytes is not read anew with each packet
        while (last := _LAST.search(raw, max(0, raw.rfind(b"\n", 0, -1)))) is None:
            try:
                piece = self._wire.recv(65536)
            except OSError as error:
                raise _away(self._path, _in_words(error)) from error
            if not piece:
                raise _away(self._path, "BIRD closed the connection")
            raw += piece
        lines = tuple(_text(line) for line in raw.decode(errors="replace").splitlines() if not line.startswith("+"))
        return Reply(int(last[1]), lines)


@contextlib.contextmanager
def connect(path: str, timeout: float = TIMEOUT) -> Iterator[Birdc]:
    """Open the control socket at `path`; raise `DataplaneError` if BIRD is not there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
        wire.settimeout(timeout)
        try:
            wire.connect(path)
        except OSError as error:
            raise _away(path, _in_words(error)) from error
        yield Birdc(wire, path)


def _text(line: str) -> str:
    return line[1:] if line.startswith(" ") else line[5:]


def _in_words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it is there and says nothing: it hangs"
    if isinstance(error, BlockingIOError):
        return "it is there and takes no more questions: it hangs"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "it does not run, or with another control socket"
    return error.strerror or str(error)


def _away(path: str, cause: str) -> DataplaneError:
    return DataplaneError(f"birdc -s {path}", f"BIRD does not answer: {cause}")
