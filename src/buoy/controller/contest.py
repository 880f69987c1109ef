# SPDX-License-Identifier: Apache-2.0
"""Who else writes what we write: a status that is put right again and again is contested.

Promises that two controllers which both take an object for theirs do not write in a
circle as fast as the API server lets them, and that somebody is told of it.
"""

import datetime as dt
from collections import deque

from buoy.model.service_ip import Identity

REASON = "StatusContested"
MESSAGE = (
    "another controller keeps changing the load-balancer addresses in the status; "
    "give the Service the loadBalancerClass of the one that is meant, or restrict the other to its own class"
)
MOST = 5
"""Times a status may be put right within `WITHIN`."""
WITHIN = dt.timedelta(seconds=60)


class Contest:
    """When statuses were put right lately."""

    def __init__(self) -> None:
        self._moments: dict[Identity, deque[dt.datetime]] = {}

    def restored(self, identity: Identity, now: dt.datetime) -> None:
        """Note that a status was put right that said the same before."""
        self._moments.setdefault(identity, deque(maxlen=MOST)).append(now)

    def until(self, identity: Identity, now: dt.datetime) -> dt.datetime | None:
        """Return until when a status is to be left alone, None if it is not contested."""
        moments = self._moments.get(identity)
        if moments is None or len(moments) < MOST:
            return None
        until = moments[0] + WITHIN
        return until if now < until else None

    def forget(self, identity: Identity) -> None:
        """Forget an object that is gone."""
        self._moments.pop(identity, None)
