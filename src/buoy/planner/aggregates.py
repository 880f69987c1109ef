# SPDX-License-Identifier: Apache-2.0
"""Prefixes that a node announces as a whole: those of Services, and those of its own pods.

Promises that a node announces for Services only while it may attract traffic and its
service proxy is there for their family; every port of every Service behind a prefix is not looked at,
for no node has ever all of them. The tricky thing is what nobody translates:
an address of the prefix that no Service has. It goes nowhere (`Stray`), or it would
go round between this node and its router until its time to live is over.
"""

from collections.abc import Sequence

from buoy.model.address import Prefix
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason, Withhold
from buoy.planner.index import Reader
from buoy.planner.proxied import excluded, is_aggregate, listed


def aggregates(settings: BGPSettings) -> tuple[Prefix, ...]:
    """Return the prefixes of Services that are announced as a whole, each once, sorted."""
    return tuple(sorted({each.prefix for each in settings.advertise if is_aggregate(each)}))


def announced_whole(settings: BGPSettings, node: str, reader: Reader) -> tuple[tuple[Prefix, ...], Withhold | None]:
    """Return which of them a node announces, and why not the others, None if there are no others."""
    prefixes = aggregates(settings)
    if not prefixes:
        return (), None
    cause = excluded(node, reader)
    if cause:
        details = {"node": node, "address": listed(prefixes), "cause": cause}
        return (), Withhold(Reason.NODE_EXCLUDED, details)
    told = tuple(prefix for prefix in prefixes if reader.proxies(prefix))
    missing = tuple(prefix for prefix in prefixes if prefix not in told)
    return told, unforwarded(missing, node) if missing else None


def unforwarded(prefixes: Sequence[Prefix], node: str) -> Withhold:
    """Return why a node does not announce these: its service proxy was not seen for them."""
    return Withhold(Reason.NO_SERVICE_PROXY, {"node": node, "address": listed(prefixes)})


def node_prefixes(settings: BGPSettings, node: str, reader: Reader) -> tuple[Prefix, ...]:
    """Return the prefixes of a node's own pods that it is to announce, also where it attracts nothing for Services."""
    if not settings.node_prefixes:
        return ()
    eligibility = reader.document(f"eligibility/{node}", Eligibility)
    return eligibility.prefixes if eligibility else ()
