# SPDX-License-Identifier: Apache-2.0
"""An embedded Neutron whose disk is full: what is there can be read, and no change is begun that could not be ended.

Promises: while less than `RESERVE` is free, every change is refused whole, with
the directory and the remedy. The tricky thing is why: most of Neutron's changes
are several transactions, and taking back the first ones needs space, too; a disk
that fills between them would leave a floating IP's port without its floating IP.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

RESERVE = 4 * 1024 * 1024
"""Bytes: SQLite's log of changes before they are merged, which is what all changes under way may write together."""

REFUSAL = "507 Insufficient Storage"
"""RFC 4918, 11.5: the state of the server, to be thought temporary."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application (PEP 3333)."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def file_of(url: str) -> Path | None:
    """Return the file of a SQLite URL (``sqlite:////var/lib/…``), None for any other database."""
    scheme, _, path = url.partition(":///")
    return Path(path) if scheme.startswith("sqlite") and path else None


def keep_open(file: Path) -> sqlite3.Connection:
    """Return a connection that holds nothing up, and for as long as it is open readers need no new file.

    Without one, whoever reads first has to make SQLite's index of the log (32 KiB) anew.
    """
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    return connection


def guarded(application: Application, directory: Path, reserve: int = RESERVE) -> Application:
    """Return the application, which is not asked for changes while less than `reserve` bytes are free."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READING or _free(directory) >= reserve:
            return application(environ, start_response)
        text = (
            f"The disk of {directory} is full, nothing was changed. Leave {reserve >> 20} MiB free there, and repeat."
        )
        error = {"NeutronError": {"type": "DiskFull", "message": text, "detail": ""}}
        start_response(REFUSAL, [("Content-Type", "application/json")])
        return [json.dumps(error).encode()]

    return answer


def _free(directory: Path) -> int:
    seen = os.statvfs(directory)
    return seen.f_bavail * seen.f_frsize
