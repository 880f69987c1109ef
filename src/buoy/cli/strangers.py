# SPDX-License-Identifier: Apache-2.0
"""Services that get traffic of an address which was given to somebody else.

Promises to name each of them. The tricky thing: anybody may write any address into `spec.externalIPs`, and kube-proxy
obeys whatever the controller says of it; a floating IP is safe, as its traffic is translated before kube-proxy sees it.
"""

from buoy.model.address import Address
from buoy.model.proxied import Kind
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.remote import Told

ADVICE = "take it out of its spec.externalIPs"


def strangers(claim: ServiceIP) -> list[str]:
    """Return the Services, as NAMESPACE/NAME, that name an address themselves and are not among those who have it."""
    if claim.mode is not Mode.PROXIED or claim.released is not None or not claim.owners:
        return []
    theirs = {f"{owner.namespace}/{owner.name}" for owner in claim.owners if owner.kind == "Service"}
    named = {backing.service for backing in claim.backings if backing.kind is Kind.EXTERNAL}
    return sorted(named - theirs)


def stranger_lines(address: Address, snapshot: Snapshot) -> list[Told]:
    """Return what `buoy why` adds of an address whose traffic strangers get, nothing where none do."""
    claim = snapshot.documents.get(f"service-ips/{address}")
    found = strangers(claim) if isinstance(claim, ServiceIP) else []
    text = f"its traffic goes to {', '.join(found)}, too, which it was not given to: {ADVICE}"
    return [Told(topic="strangers", text=text, ok=False, reason="address-taken")] if found else []
