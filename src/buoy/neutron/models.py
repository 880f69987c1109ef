# SPDX-License-Identifier: Apache-2.0
"""The outbox table: which documents may differ from the database; and whose turn it is.

A row of the outbox names a path of the store, nothing else; it is written in Neutron's
transaction and deleted after the store has what the database says. Imported
before `create_all` in the embedded mode, by alembic in every other.
"""

import sqlalchemy as sa
from neutron_lib.db import model_base
from oslo_utils import timeutils

PATH_LENGTH = 512
"""Room for `members/GROUP/PREFIX` and for `workloads/HOST/PORT`: a host name may have 255 characters."""


class Dirty(model_base.BASEV2):
    """One document, or one subject of `affected.py`, to look at; several equal rows are one."""

    __tablename__ = "buoy_dirty"

    id = sa.Column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True)
    path = sa.Column(sa.String(PATH_LENGTH), nullable=False)
    created_at = sa.Column(sa.DateTime, nullable=False, default=timeutils.utcnow)


SUBNETS = "subnets"


class Turn(model_base.BASEV2):
    """One row for each thing that only one transaction at a time may do: it locks the row.

    SQLite has one writer at a time anyway and needs no row.
    """

    __tablename__ = "buoy_turn"

    name = sa.Column(sa.String(64), primary_key=True)
