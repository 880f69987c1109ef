# SPDX-License-Identifier: Apache-2.0
"""Alembic's script directory; see `env.py`."""
