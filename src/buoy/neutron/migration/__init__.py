# SPDX-License-Identifier: Apache-2.0
"""The database branch of Buoy: `neutron-db-manage --subproject buoy upgrade heads`."""

VERSION_TABLE = "alembic_version_buoy"
