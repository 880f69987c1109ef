# SPDX-License-Identifier: Apache-2.0
"""What Neutron says about itself: when it last spoke, and what of its database the store does not have yet."""

import datetime as dt
from typing import Annotated, TypeAlias

import msgspec

Moment: TypeAlias = Annotated[dt.datetime, msgspec.Meta(tz=True)]
"""A moment with its time zone, written as RFC 3339 has it."""


class Writer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The heartbeat of what translates a cloud's database; it stays when that dies, so that one can say since when."""

    schema: int = 1
    name: str
    beaten: Moment
    """When it was written, by the writer's clock."""
    interval: float
    """Seconds until the next one is due."""
    patience: float
    """Seconds a change may wait before somebody should look."""
    waiting: int = 0
    """Rows of the outbox."""
    oldest: float = 0.0
    """Seconds the oldest of them had waited."""
    version: str = ""


NEUTRON = "neutron"
"""The name of Neutron's own: all API processes share a database, and so one document."""
