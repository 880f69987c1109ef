# SPDX-License-Identifier: Apache-2.0
"""The addresses that no node is to serve, or that no node announces, and why.

Promises that an address which nobody wants outside is not complained of: a cluster IP that no advertised prefix
contains is as it should be, one that somebody was given and that is announced nowhere is not.
"""

from collections.abc import Iterable, Iterator

from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.placement import serving, unbound
from buoy.planner.proxied import SETTINGS, about, advertised
from buoy.planner.reach import Reach


def unserved(snapshot: Snapshot) -> Iterator[tuple[ServiceIP, Withhold]]:
    """Yield each service IP that no node is to serve, with the reason, in the order of their paths."""
    reach, prefixes = Reach(snapshot), _advertised(snapshot)
    for claim in _claims(snapshot):
        if claim.backings:
            withheld, _ = _nowhere(claim, prefixes, reach)
        else:
            withheld = None if serving(claim) else unbound(claim)
        if withheld is not None:
            yield claim, withheld


def unannounced(snapshot: Snapshot) -> Iterator[tuple[ServiceIP, Withhold]]:
    """Yield each address that a Service wants announced and no node says it announces, with what keeps it.

    What is only kept for a Service that is gone is none of these, and neither is what its prefix brings to a node.
    """
    reach, prefixes = Reach(snapshot), _advertised(snapshot)
    for claim in _claims(snapshot):
        withheld, is_due = _nowhere(claim, prefixes, reach) if claim.backings else (None, False)
        # what a node announces goes on without its agent; that the agent is gone is said of the node
        if is_due and not reach.announcing(claim.address):
            withheld = _late(claim, reach)
        if withheld is not None:
            yield claim, withheld


def _claims(snapshot: Snapshot) -> Iterator[ServiceIP]:
    return (found for _, found in sorted(snapshot.documents.items()) if isinstance(found, ServiceIP))


def _advertised(snapshot: Snapshot) -> tuple[Advertised, ...]:
    settings = snapshot.documents.get(SETTINGS)
    return settings.advertise if isinstance(settings, BGPSettings) else ()


def _is_wanted(claim: ServiceIP, prefixes: Iterable[Advertised]) -> bool:
    return any(advertised(claim, each, prefixes) for each in claim.backings)


def _nowhere(claim: ServiceIP, prefixes: Iterable[Advertised], reach: Reach) -> tuple[Withhold | None, bool]:
    """Return why no node is to announce the address of a Service, None if one is or none needs to; and whether one is.

    Who announces it by a living agent's word is not asked whether it is to.
    """
    if reach.told(claim.address):
        return None, False
    if not _is_wanted(claim, prefixes):
        kind = claim.backings[0].kind.value
        no = Withhold(Reason.NOT_ADVERTISED, about(claim, claim.backings, kind=kind))
        return (no if claim.owners else None), False
    if not reach.nodes:
        # who reads no nodes can only tell that there is no endpoint
        leads = serving(claim) or any(each.elsewhere for each in claim.backings)
        return (None if leads else unbound(claim)), False
    withheld = reach.nowhere(claim)
    if withheld is not None and withheld.reason is Reason.COVERED_BY_AGGREGATE:
        return None, False
    return withheld, withheld is None


def _late(claim: ServiceIP, reach: Reach) -> Withhold:
    """Return why the nodes that are to announce an address do not, by their own word or their silence."""
    for status in reach.statuses(claim.address):
        if status.reason is not None:
            return Withhold(status.reason, {"node": status.node, "address": claim.address, **status.details})
    ends = [node for node, no in reach.decisions(claim).items() if no is None]
    heard = [node for node in ends if node in reach.living]
    details = {"node": (heard or ends)[0], "address": claim.address, "missing": "any report yet"}
    return Withhold(Reason.NOT_VERIFIED if heard else Reason.NODE_WITHOUT_AGENT, details)
