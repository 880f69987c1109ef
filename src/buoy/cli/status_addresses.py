# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of addresses: how many are in which state, and by name each that somebody misses.

Promises one line for an address that Services want and no node announces, with the reason that helps; and that
what is as somebody wanted it, such as a floating IP that is bound to nothing, is counted and not complained of,
and a Service without an endpoint, such as one that is scaled to zero, is noted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from buoy.cli.status_line import Line, Note, few
from buoy.cli.strangers import ADVICE, strangers
from buoy.model.peer import Peer
from buoy.model.pool import Pool
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.model.status import AddressStatus, State
from buoy.planner.unserved import unannounced, unserved

_UNBOUND = (Reason.UNBOUND, Reason.PORT_UNBOUND, Reason.OTHER_DRIVER, Reason.OWNER_AWAY, Reason.RELEASED)


def lines(snapshot: Snapshot) -> Iterator[Line]:
    """Yield the counts, each address that is wrong, each pool that is missed, and whether there is no router."""
    found = [document for document in snapshot.documents.values() if isinstance(document, AddressStatus)]
    yield "addresses", _counts(snapshot, found), ""
    nowhere = {claim.address: withheld for claim, withheld in unannounced(snapshot)}
    for address, withheld in nowhere.items():
        line = f"address {address}", "announced nowhere", f"{withheld.reason}: {withheld}; buoy why {address}"
        yield Note(*line) if withheld.reason is Reason.NO_READY_ENDPOINT else line
    for wrong in found:
        if wrong.address not in nowhere and (wrong.state is State.ERROR or wrong.reason is Reason.NOT_PROXIED_YET):
            yield f"address {wrong.address}", wrong.state, f"{wrong.reason} on {wrong.node}: buoy why {wrong.address}"
        elif wrong.reason is Reason.PAIR_OWNED:
            why = Withhold(wrong.reason, wrong.details)
            yield Note(f"address {wrong.address}", "asked for by a pair, too", f"{why}; buoy why {wrong.address}")
    yield from _missing_pools(snapshot)
    for claim in snapshot.documents.values():
        if isinstance(claim, ServiceIP) and (others := strangers(claim)):
            note = f"{few(others)}, which it was not given to; {ADVICE}"
            yield f"address {claim.address}", "its traffic goes to others, too", note
    if _is_told_to_nobody(snapshot):
        yield "peers", "none", "addresses are told to other nodes alone: make a BGPPeer or a Peer for the router"


def _is_told_to_nobody(snapshot: Snapshot) -> bool:
    """Tell whether a cluster gives addresses and has no router to tell them to."""
    documents = snapshot.documents.values()
    kinds = {type(document) for document in documents}
    given = any(isinstance(document, ServiceIP) and document.owners for document in documents)
    return given and Eligibility in kinds and Peer not in kinds


def _counts(snapshot: Snapshot, found: list[AddressStatus]) -> str:
    states = Counter(str(document.state) for document in found)
    reasons = Counter(withheld.reason for _, withheld in unserved(snapshot))
    unbound = sum(reasons.pop(reason, 0) for reason in _UNBOUND)
    others = "".join(f", {count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{states[State.ACTIVE]} active, {states[State.DOWN]} down, {unbound} unbound{others}"


def _missing_pools(snapshot: Snapshot) -> Iterator[Line]:
    """Yield the pools that are gone though somebody has an address of them."""
    drawn: defaultdict[str, list[str]] = defaultdict(list)
    for claim in snapshot.documents.values():
        if isinstance(claim, ServiceIP) and claim.pool and claim.owners and claim.released is None:
            drawn[claim.pool].append(claim.address)
    for pool, addresses in sorted(drawn.items()):
        if not isinstance(snapshot.documents.get(f"pools/{pool}"), Pool):
            named = few(sorted(addresses))
            yield f"pool {pool}", "missing", f"{len(addresses)} of its addresses are in use: {named}; make it again"
