# SPDX-License-Identifier: Apache-2.0
"""The way of a proxied service IP: its Services, their endpoints, who announces it and whether it is forwarded.

Promises that what is said of a node is what that node decides, for it comes from the same
functions. The tricky thing is that a *no* of one node is often as it should be: where
another node has the endpoint, it is enough that the other announces.
"""

from collections.abc import Iterator

from buoy.model.address import Address, host_prefix
from buoy.model.nodestate import Announcement, Class, Key, Table
from buoy.model.proxied import Backing, Proxying, ProxyMode
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.desired import Desired
from buoy.planner.line import Line, no, yes
from buoy.planner.proxied import about, attracting, idle, listed, ports_text
from buoy.planner.reach import Reach

_OTHERS_DO = frozenset({Reason.NO_LOCAL_ENDPOINT, Reason.NODE_EXCLUDED})
"""Why a node leaves an address to others."""


def services(service: ServiceIP) -> Iterator[Line]:
    """Yield the Services of an address, and on which nodes their endpoints are."""
    if not service.backings:
        yield no("service", idle(service))
    for backing in service.backings:
        policy = "Local" if backing.local else "Cluster"
        ports = ports_text(backing.ports) or "no ports"
        yield yes("service", f"{backing.service}, {backing.kind} IP, {ports}, traffic policy {policy}")
        yield _endpoints(service, backing)


def _endpoints(service: ServiceIP, backing: Backing) -> Line:
    found = [f"ready on {listed(backing.ready)}"] if backing.ready else []
    found += [f"terminating on {listed(backing.draining)}"] if backing.draining else []
    found += ["ready on no node that is known"] if backing.elsewhere else []
    if not found:
        return no("endpoints", Withhold(Reason.NO_READY_ENDPOINT, about(service, [backing])))
    found += [f"none has {ports_text(backing.unserved)}"] if backing.unserved else []
    return yes("endpoints", "; ".join(found))


def here(service: ServiceIP, desired: Desired) -> Iterator[Line]:
    """Yield what a node decided, and what its service proxy does."""
    node, withheld = desired.here.node, desired.withheld.get(service.address)
    if withheld is None:
        told = desired.state.get(Key(Table.ANNOUNCEMENT, (host_prefix(service.address),)))
        last = isinstance(told, Announcement) and told.preference is Class.DRAIN
        yield yes("node", f"announced by {node}{', as the last resort' if last else ''}")
        yield _proxy(service, desired)
    elif withheld.reason is Reason.COVERED_BY_AGGREGATE:
        missing = desired.aggregates_withheld
        covered = Key(Table.ANNOUNCEMENT, (withheld.details["prefix"],)) in desired.state
        yield yes("node", str(withheld)) if covered or missing is None else no("node", missing)
    elif withheld.reason in _OTHERS_DO and Reach(desired.snapshot).announcing(service.address, besides=node):
        yield yes("node", f"{withheld}: others announce it")
    else:
        yield no("node", withheld)


def _proxy(service: ServiceIP, desired: Desired) -> Line:
    mode, proxying = desired.sight.proxy, desired.sight.proxying.get(service.address, Proxying())
    if mode is ProxyMode.UNCHECKED:
        return yes("proxy", "not looked at, as the settings of this agent say")
    node = desired.here.node
    found = attracting(service, node, desired.reader())
    backings = [] if isinstance(found, Withhold) else [each.backing for each in found]
    ports = frozenset(port for backing in backings for port in backing.ports)
    missing = ports_text(ports - proxying.forwarded)
    if missing:
        details = about(service, backings, node=node, missing=missing)
        return no("proxy", Withhold(Reason.NOT_PROXIED_YET, details))
    if desired.sight.stuck:
        details = about(service, backings, node=node, cause=desired.sight.stuck)
        return no("proxy", Withhold(Reason.SERVICE_PROXY_STUCK, details))
    return yes("proxy", f"{mode}: forwards {ports_text(ports)}")


def others(address: Address, node: str, snapshot: Snapshot) -> Iterator[Line]:
    """Yield which other nodes announce an address, and what is wrong on those that should."""
    reach = Reach(snapshot)
    names = reach.announcing(address, besides=node)
    if names:
        yield yes("other nodes", f"announced by {listed(names)}")
    for status in reach.statuses(address):
        if status.node != node and status.reason is not None:
            yield no("other nodes", Withhold(status.reason, {"node": status.node, **status.details}))
