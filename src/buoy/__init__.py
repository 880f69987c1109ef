# SPDX-License-Identifier: Apache-2.0
"""Buoy: service IPs that outlive the workload behind them.

The packages below are floors; a module imports only from lower floors, and
packages on one floor do not know each other (`docs/design.md` draws them):

1 model · 2 ipam, planner · 3 render · 4 dataplane, store · 5 runtime ·
6 neutron · 7 agent · 8 lab · 9 cli
"""

__version__ = "0.1.0"
