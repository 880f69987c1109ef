# SPDX-License-Identifier: Apache-2.0
"""Prefixes that a node announces as a whole: those of Services, and those of its own pods.

Promises that a node announces for Services only while it may attract traffic and its
service proxy is there; every port of every Service behind a prefix is not looked at,
for no node has ever all of them. The tricky thing is what nobody translates:
an address of the prefix that no Service has. It goes nowhere (`Stray`), or it would
go round between this node and its router until its time to live is over.
"""

from buoy.model.address import Prefix
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Eligibility, ProxyMode
from buoy.model.reason import Reason, Withhold
from buoy.planner.index import Reader
from buoy.planner.proxied import excluded, is_aggregate, listed


def aggregates(settings: BGPSettings) -> tuple[Prefix, ...]:
    """Return the prefixes of Services that are announced as a whole, each once, sorted."""
    return tuple(sorted({each.prefix for each in settings.advertise if is_aggregate(each)}))


def aggregates_withheld(settings: BGPSettings, node: str, reader: Reader) -> Withhold | None:
    """Return why a node announces none of them, None if it announces them or there are none."""
    prefixes = aggregates(settings)
    if not prefixes:
        return None
    details = {"node": node, "address": listed(prefixes)}
    cause = excluded(node, reader)
    if cause:
        return Withhold(Reason.NODE_EXCLUDED, {**details, "cause": cause})
    return Withhold(Reason.NO_SERVICE_PROXY, details) if reader.service_proxy() is ProxyMode.NONE else None


def node_prefixes(settings: BGPSettings, node: str, reader: Reader) -> tuple[Prefix, ...]:
    """Return the prefixes of a node's own pods that it is to announce, also where it attracts nothing for Services."""
    if not settings.node_prefixes:
        return ()
    eligibility = reader.document(f"eligibility/{node}", Eligibility)
    return eligibility.prefixes if eligibility else ()
