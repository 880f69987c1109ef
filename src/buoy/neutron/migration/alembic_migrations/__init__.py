"""Alembic's script directory; see `env.py`."""
