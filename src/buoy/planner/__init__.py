# SPDX-License-Identifier: Apache-2.0
"""Floor 2: decisions, as pure functions of snapshot and observation.

Start with `plan.py` for the order of acts, `desired.py` for what a node is to
hold, `explain.py` for the same told to a person.
"""
