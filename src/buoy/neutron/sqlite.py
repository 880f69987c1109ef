# SPDX-License-Identifier: Apache-2.0
"""Make a SQLite file serve Neutron's concurrent requests.

Promises: no request fails because another one writes. The tricky thing is that
SQLite refuses to turn a reader into a writer once somebody else has written:
so every transaction takes the write lock when it begins (BEGIN IMMEDIATE) and
waits for it, except a second session that a thread opens inside its first one,
which would wait for itself; and except in `reading()`, where nothing is written.
https://www.sqlite.org/lang_transaction.html
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import exc as sa_exc

BUSY_MILLISECONDS = 60_000
"""How long a transaction waits for the write lock before the caller's retry begins."""

_OURS = "buoy_immediate"
_OSLO = "in_transaction"
"""The mark by which oslo.db's own listener knows that a transaction was already begun."""

_LOCKED = r"^.*database (table )?is locked.*$"
_thread = threading.local()


@contextmanager
def reading() -> Iterator[None]:
    """Begin this thread's transactions as readers: in WAL mode they never wait and never block."""
    before = getattr(_thread, "reading", False)
    _thread.reading = True
    try:
        yield
    finally:
        _thread.reading = before


@contextmanager
def kept(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection that this thread keeps, in a transaction of its own; not to be nested.

    Neutron opens one for each transaction, and SQLite then reads the whole schema before the first query: 1.3 ms,
    more than most of our queries.
    """
    held: dict[sa.Engine, sa.Connection] = _thread.__dict__.setdefault("kept", {})
    if engine not in held:
        held[engine] = engine.connect()
    with held[engine].begin():
        yield held[engine]


def install() -> None:
    """Listen to every SQLAlchemy engine of the process; other databases than SQLite are left alone. Call once."""
    exc_filters.filters("sqlite", sa_exc.OperationalError, _LOCKED)(_locked)
    sa.event.listen(sa.engine.Engine, "connect", _connect)
    sa.event.listen(sa.engine.Engine, "begin", _begin)
    sa.event.listen(sa.engine.Engine, "commit", _end)
    sa.event.listen(sa.engine.Engine, "rollback", _end)


def _locked(error: Exception, match: re.Match[str], engine_name: str, is_disconnect: bool) -> None:  # noqa: ARG001, FBT001
    raise db_exc.DBDeadlock(error)


def _connect(connection: object, record: object) -> None:  # noqa: ARG001
    if not type(connection).__module__.startswith("sqlite3"):
        return
    execute = connection.execute  # type: ignore[attr-defined]
    execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    execute("PRAGMA synchronous=NORMAL")


def _begin(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite" or _OSLO in connection.info:
        return
    if getattr(_thread, "reading", False) or getattr(_thread, "writing", False):
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _thread.writing = True
        connection.info[_OURS] = True
    connection.info[_OSLO] = True


def _end(connection: sa.Connection) -> None:
    if connection.info.pop(_OURS, None):
        _thread.writing = False
