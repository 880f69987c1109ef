# SPDX-License-Identifier: Apache-2.0
"""The EndpointSlices of a Service, as the nodes that have an endpoint which is ready, or still drains.

Promises KEP-1672's reading of conditions: unknown is ready, unknown serving is what
ready says, and an endpoint that is terminating attracts nothing, unless its Service
publishes what is not ready. An endpoint that stands in two slices, as while it moves
between them, is ready if one of them says so.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from buoy.kubernetes.objects import EndpointConditions, EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"

FAMILIES = {"IPv4": 4, "IPv6": 6}
"""Address types of slices that say where packets go; FQDN is the third."""

_UNKNOWN = EndpointConditions()


class Standing(NamedTuple):
    """Where endpoints are, of one Service and family; see `Backing`."""

    ready: tuple[str, ...] = ()
    draining: tuple[str, ...] = ()
    elsewhere: bool = False
    ports: frozenset[str] = frozenset()
    """Names of the ports that an endpoint has which is ready or drains."""


def service_of(found: EndpointSlice) -> str:
    """Return the name of the Service a slice belongs to, "" if to none."""
    return (found.metadata.labels or {}).get(SERVICE_LABEL, "")


def standing(slices: Iterable[EndpointSlice], nodes: Collection[str], *, publish: bool) -> Standing:
    """Sum up slices of one family; `nodes` are those that are known, `publish` is publishNotReadyAddresses."""
    ready: set[str] = set()
    draining: set[str] = set()
    ports: set[str] = set()
    elsewhere = False
    for found in slices:
        names = {port.name or "" for port in found.ports or ()}
        for endpoint in found.endpoints or ():
            conditions = endpoint.conditions or _UNKNOWN
            known = endpoint.node_name is not None and endpoint.node_name in nodes
            if attracts(conditions, publish=publish):
                ports |= names
                elsewhere = elsewhere or not known
                if known and endpoint.node_name:
                    ready.add(endpoint.node_name)
            elif known and endpoint.node_name and drains(conditions):
                ports |= names
                draining.add(endpoint.node_name)
    return Standing(tuple(sorted(ready)), tuple(sorted(draining - ready)), elsewhere, frozenset(ports))


def attracts(conditions: EndpointConditions, *, publish: bool) -> bool:
    """Tell whether new connections may come to an endpoint."""
    return conditions.ready is not False and (publish or not conditions.terminating)


def drains(conditions: EndpointConditions) -> bool:
    """Tell whether an endpoint that attracts nothing still serves the connections it has."""
    serving = conditions.serving if conditions.serving is not None else conditions.ready is not False
    return serving and bool(conditions.terminating)
