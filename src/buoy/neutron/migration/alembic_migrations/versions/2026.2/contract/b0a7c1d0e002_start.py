# SPDX-License-Identifier: Apache-2.0
"""Begin the contract branch, which is empty so far."""

from neutron.db.migration import cli

revision = "b0a7c1d0e002"
down_revision = "start_buoy"
branch_labels = (cli.CONTRACT_BRANCH,)


def upgrade() -> None:
    """Change nothing."""
