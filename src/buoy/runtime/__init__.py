# SPDX-License-Identifier: Apache-2.0
"""Floor 5: when a pass runs, with which settings, and who is told about it."""
