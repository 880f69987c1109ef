# SPDX-License-Identifier: Apache-2.0
"""Floor 1: what Buoy talks about, as frozen data.

Promises: no module here reads a clock, a file, a socket or the environment;
two equal values are interchangeable; every document survives a round trip
through JSON (`documents.py`).
"""
