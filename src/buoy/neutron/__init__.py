# SPDX-License-Identifier: Apache-2.0
"""Floor 6: Neutron's database is the truth, the store follows it.

Neutron is translated by the writer: an outbox row is written in Neutron's own
transaction, a drainer turns it into documents. The only place that imports
oslo and neutron; `translate.py` and `rules.py` are pure and do not.
"""
