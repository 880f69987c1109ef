# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of claims that a store which was set back had lost (`claim-lost`)."""

from collections.abc import Iterator

from buoy.cli.status_line import Line, few
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot


def lines(snapshot: Snapshot) -> Iterator[Line]:
    """Yield a line if any claim waits for a person."""
    claims = (each for each in snapshot.documents.values() if isinstance(each, ServiceIP))
    lost = [claim.address for claim in claims if claim.lost]
    if lost:
        names = few(sorted(lost))
        yield "claims", f"{len(lost)} lost by the store, and kept", f"{names}; buoy why {min(lost)}"
