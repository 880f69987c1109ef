# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of Buoy: `./dev bench` runs them, `docs/benchmarks/README.md` tells what they said."""
