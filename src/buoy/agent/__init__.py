"""Floor 7: one node's agent. Start reading at `reconcile.py`."""
