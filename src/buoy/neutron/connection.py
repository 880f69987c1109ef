# SPDX-License-Identifier: Apache-2.0
"""Connections to Neutron's database without its sessions: what the worker reads and writes is not Neutron's.

Promises: one transaction each, committed at the end of the block, undone if it
raises. A session and a request's context with its policies would cost several
times what is read, beside requests that wait for the same interpreter.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from buoy.neutron import sqlite


@contextmanager
def reading() -> Iterator[sa.Connection]:
    """Yield a connection that sees one state of the database, all that is committed now."""
    with sqlite.reading(), _begun(db_api.CONTEXT_READER.get_engine()) as connection:
        yield connection


@contextmanager
def writing() -> Iterator[sa.Connection]:
    """Yield a connection that may write; no listener of a session hears of it."""
    with _begun(db_api.CONTEXT_WRITER.get_engine()) as connection:
        yield connection


def _begun(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    return sqlite.kept(engine) if engine.dialect.name == "sqlite" else engine.begin()
