# SPDX-License-Identifier: Apache-2.0
"""Floor 4: the only code that touches a host. Everything it changes carries a mark of `model/ownership.py`."""
