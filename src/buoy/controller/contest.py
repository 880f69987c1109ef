# SPDX-License-Identifier: Apache-2.0
"""Who else writes what we write: a status that is put right again and again is contested.

Promises that two controllers which both take an object for theirs do not write in a
circle as fast as the API server lets them, and that somebody is told of it. The tricky
thing is a status that changes because what it shows does, such as the addresses of a
Service's Ingresses: however often that is, it is no contest.
"""

import datetime as dt
from collections import deque
from typing import Any, TypeAlias

from buoy.model.service_ip import Identity

REASON = "StatusContested"
MESSAGE = (
    "another controller keeps changing the load-balancer addresses in the status; "
    "give the Service the loadBalancerClass of the one that is meant, or restrict the other to its own class"
)
MOST = 5
"""Times a status may be put right within `WITHIN`."""
WITHIN = dt.timedelta(seconds=60)

Entries: TypeAlias = tuple[dict[str, Any], ...]
"""Those of `status.loadBalancer.ingress`."""


class Contest:
    """What was written last, and when statuses were put right lately."""

    def __init__(self) -> None:
        self._published: dict[Identity, Entries] = {}
        self._moments: dict[Identity, deque[dt.datetime]] = {}

    def published(self, identity: Identity, entries: Entries, now: dt.datetime) -> None:
        """Note that a status was written; if with what was written before, it was put right."""
        if self._published.get(identity) == entries:
            self._moments.setdefault(identity, deque(maxlen=MOST)).append(now)
        self._published[identity] = entries

    def until(self, identity: Identity, entries: Entries, now: dt.datetime) -> dt.datetime | None:
        """Return until when a status is not to be written so again, None if it is not contested."""
        moments = self._moments.get(identity)
        if moments is None or len(moments) < MOST or self._published.get(identity) != entries:
            return None
        until = moments[0] + WITHIN
        return until if now < until else None

    def forget(self, identity: Identity) -> None:
        """Forget an object that is gone."""
        self._published.pop(identity, None)
        self._moments.pop(identity, None)
