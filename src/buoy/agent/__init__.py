# SPDX-License-Identifier: Apache-2.0
"""Floor 7: one node's agent. Start reading at `reconcile.py`."""
