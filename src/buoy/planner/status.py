# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what was seen to what is said: the status of an address and of a workload.

Promises never to say ACTIVE of what was not observed. A node speaks only of what it
has or had: where it has no say it returns None, and its former status is deleted.
That deletion is how other nodes learn that an address was withdrawn here.
"""

from collections.abc import Collection, Mapping

import msgspec

from buoy.model.address import Address, Prefix, family
from buoy.model.nodestate import Change, Failure, Flush, Key, Route
from buoy.model.reason import Reason, Withhold
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.planner.verify import Mismatch
from buoy.planner.wanted import Wanted, announcement

_SILENT = frozenset(
    {Reason.OTHER_NODE, Reason.UNBOUND, Reason.PORT_UNBOUND, Reason.OTHER_DRIVER, Reason.MODE_NOT_SERVED}
    | {Reason.NOT_ADVERTISED, Reason.COVERED_BY_AGGREGATE, Reason.NODE_EXCLUDED}
    | {Reason.OWNER_AWAY, Reason.RELEASED}
    | {Reason.NO_SERVICE, Reason.CLAIM_LOST, Reason.NO_READY_ENDPOINT, Reason.NO_LOCAL_ENDPOINT}
)
"""Answers that are not this node's to give: the writer of the document knows as much."""

_DOWN = frozenset(
    {Reason.ADMIN_DOWN, Reason.TAP_MISSING, Reason.TAP_DOWN, Reason.PAIR_OUTSIDE, Reason.PAIR_OWNED}
    | {Reason.NOT_TOLD_YET, Reason.NOT_PROXIED_YET}
)
"""What is down as somebody wanted it, or until a VM starts or a proxy is ready; every other reason needs a person."""


class Seen(msgspec.Struct, frozen=True):
    """What a pass observed: what differs, what the host refused, why no peer is told (None: one is), what is held."""

    wrong: Collection[Mismatch] = ()
    failures: Collection[Failure] = ()
    untold: Withhold | None = None
    held: str = ""


def address_status(wanted: Wanted, seen: Seen) -> AddressStatus | None:
    """Return the status of an address on this node, None if this node has none to give."""
    address = Address(wanted.name)
    remains = _remains(address, wanted, seen)
    if remains is not None:
        return _address(wanted, remains, programmed=False, announced=True)
    if wanted.withheld is not None or not wanted.known:
        reason = wanted.withheld
        silent = reason is None or reason.reason in _SILENT
        return None if silent else _address(wanted, reason, programmed=False, announced=False)
    told = announcement(address)
    unbuilt = lacking(wanted, seen, wanted.keys - {told})
    unannounced = lacking(wanted, seen, frozenset({told}))
    announced = unannounced is None and seen.untold is None
    return _address(wanted, unbuilt or unannounced or seen.untold, programmed=unbuilt is None, announced=announced)


def workload_status(wanted: Wanted, seen: Seen) -> WorkloadStatus | None:
    """Return the status of a workload on this node, None if it is not (or no longer) here."""
    if not wanted.known:
        return None
    no = wanted.withheld or lacking(wanted, seen, wanted.keys)
    return WorkloadStatus(
        node=wanted.node,
        workload=wanted.name,
        state=_state(no),
        reason=no.reason if no else None,
        details=_details(no),
        revision=wanted.revision,
    )


def entry_name(key: Key) -> str:
    """Return how a person calls an entry, such as ``route 192.0.2.7/32``."""
    return " ".join((key.table.name.lower(), *key.name))


def act_name(act: Change | Flush) -> str:
    """Return how a person calls an act, such as ``add route 192.0.2.7/32``."""
    if isinstance(act, Flush):
        return f"end flows of {', '.join((*act.addresses, *act.connectionless, *act.unanswered))}"
    verb = "add" if act.before is None else "remove" if act.after is None else "change"
    return f"{verb} {entry_name(act.key)}"


def _address(wanted: Wanted, no: Withhold | None, *, programmed: bool, announced: bool) -> AddressStatus:
    return AddressStatus(
        node=wanted.node,
        address=Address(wanted.name),
        state=_state(no),
        programmed=programmed,
        announced=announced,
        reason=no.reason if no else None,
        details=_details(no),
        revision=wanted.revision,
    )


def _state(no: Withhold | None) -> State:
    if no is None:
        return State.ACTIVE
    return State.DOWN if no.reason in _DOWN else State.ERROR


def _details(no: Withhold | None) -> Mapping[str, str]:
    return dict(no.details) if no else {}


def _remains(address: Address, wanted: Wanted, seen: Seen) -> Withhold | None:
    """Return why an address that is not wanted here is still announced, None if it is not."""
    told = announcement(address)
    if not any(wrong.key == told and wrong.wanted is None for wrong in seen.wrong):
        return None
    if seen.held:
        return Withhold(Reason.HELD_BY_GUARD, {"node": wanted.node, "address": address, "cause": seen.held})
    return lacking(wanted, seen, frozenset({told}))


def lacking(wanted: Wanted, seen: Seen, keys: frozenset[Key]) -> Withhold | None:
    """Return what the host refused among these keys, or what was not seen of them."""
    if not seen.failures and not seen.wrong:
        return None
    details = {"node": wanted.node, "address": wanted.name}
    for wrong in seen.wrong:
        if wrong.key in keys and isinstance(wrong.seen, Route):
            if wrong.seen.hidden_by:
                return Withhold(Reason.FOREIGN_ROUTE, {**details, "route": wrong.seen.hidden_by})
            if wrong.seen.bypassed_by:
                version = str(family(Prefix(wrong.key.name[0])))
                return Withhold(Reason.FOREIGN_RULE, {**details, "rule": wrong.seen.bypassed_by, "version": version})
    for failure in seen.failures:
        if isinstance(failure.step.act, Change) and failure.step.act.key in keys:
            entry = entry_name(failure.step.act.key)
            return Withhold(Reason.REFUSED_BY_KERNEL, {**details, "error": failure.error, "entry": entry})
    missing = sorted(wrong.key for wrong in seen.wrong if wrong.key in keys)
    if not missing:
        return None
    return Withhold(Reason.NOT_VERIFIED, {**details, "missing": ", ".join(entry_name(key) for key in missing)})
