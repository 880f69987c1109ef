# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: where programs are found, and how long a property may think."""

import os

from hypothesis import HealthCheck, settings

# Debian keeps ip, nft and bird out of a user's PATH.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

# No deadline: two busy cores make any example slow, and slow is not wrong.
settings.register_profile("buoy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("buoy")
