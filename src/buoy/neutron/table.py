# SPDX-License-Identifier: Apache-2.0
"""The outbox table as the drainer uses it: read some rows, delete them, tell the oldest one's age.

Promises: short transactions of their own, repeated when the database asks for it.
"""

from collections.abc import Collection

import msgspec
import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from buoy.neutron import affected, connection, outbox
from buoy.neutron.models import Dirty

_dirty = Dirty.__table__


class Taken(msgspec.Struct, frozen=True):
    """Rows read together: their ids and the distinct paths they name, perhaps more than one transaction takes."""

    ids: tuple[int, ...]
    paths: tuple[str, ...]
    more: bool = False
    """Whether there were other rows."""


class Waiting(msgspec.Struct, frozen=True):
    """How many rows there are, and how many seconds the oldest has waited."""

    rows: int
    seconds: float


@db_api.retry_db_errors
def take(most_rows: int) -> Taken:
    """Return the oldest rows, and what the distinct ones name now; the rows stay until `delete`."""
    query = sa.select(_dirty.c.id, _dirty.c.path).order_by(_dirty.c.id).limit(most_rows * 10)
    with connection.reading() as reading:
        rows = reading.execute(query).all()
        ids: list[int] = []
        distinct: dict[str, None] = {}
        for row in rows:
            if row.path not in distinct and len(distinct) == most_rows:
                break
            distinct[row.path] = None
            ids.append(row.id)
        more = len(ids) < len(rows) or len(rows) == most_rows * 10
        return Taken(tuple(ids), tuple(affected.expand(reading, distinct)), more)


@db_api.retry_db_errors
def delete(ids: Collection[int]) -> None:
    """Delete exactly these rows: a row with a lower id may still be committed by a slower transaction."""
    with connection.writing() as writing:
        for chunk in affected.chunks(ids):
            writing.execute(sa.delete(_dirty).where(_dirty.c.id.in_(chunk)))


@db_api.retry_db_errors
def mark(paths: Collection[str]) -> None:
    """Ask for paths to be looked at, in a transaction of its own."""
    with connection.writing() as writing:
        outbox.insert(writing, paths)


@db_api.retry_db_errors
def waiting() -> Waiting:
    """Return how many rows wait, and since when."""
    query = sa.select(sa.func.count(), sa.func.min(_dirty.c.created_at))
    with connection.reading() as reading:
        rows, oldest = reading.execute(query).one()
    # the oldest row may be of another host, whose clock is a little ahead
    return Waiting(rows, max(0.0, timeutils.delta_seconds(oldest, timeutils.utcnow())) if rows else 0.0)
