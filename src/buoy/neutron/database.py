# SPDX-License-Identifier: Apache-2.0
"""Prepare the database of an embedded Neutron: a SQLite file, complete or completed.

Promises: afterwards every table, the default security group rules and the
migration stamps are there, whatever a kill left behind; each step looks before
it acts. Neutron's own migrations cannot run on SQLite (they alter constraints),
so the tables are made from the models and the heads are stamped.
"""

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from neutron.db.migration import cli as migration
from neutron.db.migration.models import head  # noqa: F401  every table of Neutron
from neutron.db.models.securitygroup_default_rules import SecurityGroupDefaultRule
from neutron_lib.db import model_base, standard_attr
from oslo_utils import uuidutils

from buoy.model.errors import InvalidInput
from buoy.neutron.migration import VERSION_TABLE
from buoy.neutron.models import Dirty

NEUTRON_VERSION_TABLE = "alembic_version"

_DEFAULT_RULES = (
    ("egress", "IPv4", None, True),
    ("egress", "IPv6", None, True),
    ("ingress", "IPv4", "PARENT", False),
    ("ingress", "IPv6", "PARENT", False),
)
"""Direction, ethertype, remote group and whether other groups than `default` get it: Neutron's c33da356b165."""


def prepare(url: str) -> None:
    """Make a SQLite database ready; check any other one. Raises `InvalidInput` if the outbox is missing there."""
    engine = sa.create_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            _create(engine)
        elif not sa.inspect(engine).has_table(Dirty.__tablename__):
            raise InvalidInput(
                "[database] connection",
                engine.url.render_as_string(hide_password=True),
                "run `neutron-db-manage upgrade heads`: the table buoy_dirty is missing",
            )
    finally:
        engine.dispose()


def _create(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    model_base.BASEV2.metadata.create_all(engine)
    _seed(engine)
    for project, table in (("neutron", NEUTRON_VERSION_TABLE), ("buoy", VERSION_TABLE)):
        _stamp(engine, project, table)


def _seed(engine: sa.Engine) -> None:
    """Insert the templates without which a new default security group would have no rule at all."""
    standard = standard_attr.StandardAttribute.__table__
    templates = SecurityGroupDefaultRule.__table__
    stamped = sa.inspect(engine).has_table(NEUTRON_VERSION_TABLE)
    with engine.begin() as connection:
        # an operator may have deleted them on purpose, so only before the first stamp
        if stamped or connection.execute(sa.select(templates.c.id)).first():
            return
        for direction, ethertype, group, elsewhere in _DEFAULT_RULES:
            text = f"Legacy default SG rule for {direction} traffic"
            row = connection.execute(sa.insert(standard).values(resource_type=templates.name, description=text))
            key = row.inserted_primary_key
            assert key is not None
            connection.execute(
                sa.insert(templates).values(
                    id=uuidutils.generate_uuid(),
                    direction=direction,
                    ethertype=ethertype,
                    remote_group_id=group,
                    used_in_default_sg=True,
                    used_in_non_default_sg=elsewhere,
                    standard_attr_id=key[0],
                )
            )


def _stamp(engine: sa.Engine, project: str, table: str) -> None:
    versions = sa.Table(table, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    versions.create(engine, checkfirst=True)
    with engine.begin() as connection:
        connection.execute(sa.delete(versions))
        connection.execute(sa.insert(versions), [{"version_num": one} for one in _heads(project)])


def _heads(project: str) -> list[str]:
    location = f"{_PACKAGES[project]}:alembic_migrations"
    config = Config()
    config.set_main_option("neutron_project", project)
    config.set_main_option("script_location", location)
    migration._set_version_locations(config)  # noqa: SLF001
    return list(ScriptDirectory.from_config(config).get_heads())


_PACKAGES = {"neutron": "neutron.db.migration", "buoy": "buoy.neutron.migration"}
