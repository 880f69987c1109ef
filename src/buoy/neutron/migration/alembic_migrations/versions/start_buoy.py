# SPDX-License-Identifier: Apache-2.0
"""Start of Buoy's branches."""

revision = "start_buoy"
down_revision = None


def upgrade() -> None:
    """Change nothing: both branches begin here."""
