# SPDX-License-Identifier: Apache-2.0
"""Run by alembic inside `neutron-db-manage`, with a version table of our own beside Neutron's."""

from alembic import context
from neutron.db.migration.connection import DBConnection
from neutron_lib.db import model_base

from buoy.neutron import models  # noqa: F401  its table must be in the metadata
from buoy.neutron.migration import VERSION_TABLE

config = context.config
neutron_config = config.neutron_config


def run_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(
        url=neutron_config.database.connection, dialect_name="mysql", version_table=VERSION_TABLE, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Migrate the configured database."""
    with DBConnection(neutron_config.database.connection, config.attributes.get("connection")) as connection:
        context.configure(
            connection=connection, target_metadata=model_base.BASEV2.metadata, version_table=VERSION_TABLE
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
