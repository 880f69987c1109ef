# SPDX-License-Identifier: Apache-2.0
"""The addresses that no node is to serve, and why: what a list of addresses says where no node says anything.

Promises that an address which nobody wants outside is not complained of: a cluster IP that no advertised prefix
contains is as it should be, one that somebody was given and that is announced nowhere is not.
"""

from collections.abc import Iterator

from buoy.model.peer import BGPSettings
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.placement import serving, unbound
from buoy.planner.proxied import SETTINGS, about, advertised


def unserved(snapshot: Snapshot) -> Iterator[tuple[ServiceIP, Withhold]]:
    """Yield each service IP that no node is to serve, with the reason, in the order of their paths."""
    settings = snapshot.documents.get(SETTINGS)
    prefixes = settings.advertise if isinstance(settings, BGPSettings) else ()
    for _, claim in sorted(snapshot.documents.items()):
        if not isinstance(claim, ServiceIP):
            continue
        if claim.backings and not any(advertised(claim, each, prefixes) for each in claim.backings):
            if claim.owners:
                kind = claim.backings[0].kind.value
                yield claim, Withhold(Reason.NOT_ADVERTISED, about(claim, claim.backings, kind=kind))
        elif not serving(claim) and not any(backing.elsewhere for backing in claim.backings):
            yield claim, unbound(claim)
