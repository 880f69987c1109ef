# SPDX-License-Identifier: Apache-2.0
"""Create the outbox and the turns."""

import sqlalchemy as sa
from alembic import op
from neutron.db.migration import cli

revision = "b0a7c1d0e001"
down_revision = "start_buoy"
branch_labels = (cli.EXPAND_BRANCH,)


def upgrade() -> None:
    """Create `buoy_dirty` and `buoy_turn`; see `buoy/neutron/models.py`."""
    op.create_table(
        "buoy_dirty",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=True),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
    )
    turn = op.create_table("buoy_turn", sa.Column("name", sa.String(64), primary_key=True))
    op.bulk_insert(turn, [{"name": "subnets"}])
