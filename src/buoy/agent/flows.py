# SPDX-License-Identifier: Apache-2.0
"""Tracked connections that were translated by maps which are no more: what a kill between a change and its flush left.

Promises that a flow is ended only if it is to or from an address that is, or was, a
service IP; what an operator's own rules translate, and a service proxy, is none of
Buoy's business. The tricky thing: of a service IP that is deleted, only the status tells that this node
served it, so the first look is over before any status is said.
"""

from buoy.dataplane.driver import Flows
from buoy.model.address import Address, host_prefix
from buoy.model.nodestate import Key, Table
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.status import AddressStatus
from buoy.planner.desired import Desired


class FlowAudit:
    """Follows each pass over everything, a few milliseconds with each pass that comes after it."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._first = True
        self.going_on = False
        """Whether the next pass has more to judge."""

    def turn(self, desired: Desired, *, whole: bool) -> None:
        """Go on judging; after a pass over the `whole` node begin anew."""
        if whole:
            self._flows.judge(service_ips(desired))
        self.going_on = self._flows.go_on()
        while whole and self._first and self.going_on:
            self.going_on = self._flows.go_on()
        self._first = self._first and not whole


def service_ips(desired: Desired) -> frozenset[Address]:
    """Return every service IP that is Buoy's to translate, and those that this node has served by its own word."""
    node, state = desired.here.node, desired.state
    found: set[Address] = set()
    others = set(desired.sight.proxying)
    for document in desired.snapshot.documents.values():
        match document:
            case ServiceIP(address=address, mode=Mode.PROXIED):
                others.add(address)
            case ServiceIP(address=address):
                found.add(address)
            case AddressStatus(node=at, address=address) if at == node:
                # a guest's own address has a status too, and is nobody's to translate
                if Key(Table.ROUTE, (host_prefix(address),)) not in state:
                    found.add(address)
    return frozenset(found - others)
