# SPDX-License-Identifier: Apache-2.0
"""Rules of others that lead packets for our addresses past table main, where our routes are.

Promises: they are never touched, only known; a rule is named only if it takes every packet to an address away,
whatever else the packet carries. So rules about marks, sources, interfaces or ports name nothing, nor does one that
looks in table main itself, as network managers and network plugins of pods make. The tricky thing:
what a table says is not for us to work out, so where a rule may matter the kernel is asked for its route; and it may
answer us by a rule that no packet of a guest meets, such as one about a user. Of what comes after such a rule nothing
is said. Without rules of others the kernel is asked nothing.
Sources: linux/fib_rules.h, net/core/fib_rules.c `fib_rule_match`.
"""

import errno
import socket
from collections.abc import Collection, Iterator

from buoy.dataplane import netlink, rtnl, rules
from buoy.dataplane.rtnl import RouteSeen
from buoy.dataplane.rules import Asks, RuleSeen
from buoy.model.address import Prefix, contains, family, split
from buoy.model.ownership import MAIN_TABLE, ROUTE_PROTOCOL

_KINDS = {errno.EINVAL: rtnl.BLACKHOLE, errno.EHOSTUNREACH: rtnl.UNREACHABLE, errno.EACCES: rtnl.PROHIBIT}
"""Which kind of route the kernel says no by."""


class Detours:
    """Others' rules that come before the one of table main, in their order."""

    def __init__(self, channel: netlink.Channel) -> None:
        self._channel = channel
        self._rules: dict[int, tuple[RuleSeen, ...]] = {}

    def reload(self) -> frozenset[Prefix]:
        """Read afresh; return the destinations of the rules that came or went."""
        before = {rule for each in self._rules.values() for rule in each}
        self._rules = {4: tuple(self._read(socket.AF_INET)), 6: tuple(self._read(socket.AF_INET6))}
        after = {rule for each in self._rules.values() for rule in each}
        return frozenset(rule.to for rule in before ^ after)

    def leads_to(self, route: RouteSeen) -> bool:
        """Tell whether this route may be taken instead of one of ours, by the table that it is in."""
        rules_of_family = self._rules.get(family(route.prefix), ())
        return route.table != MAIN_TABLE and any(rule.looks_in(route.table) for rule in rules_of_family)

    def at(self, prefix: Prefix, indexes: Collection[int]) -> str:
        """Return the rule by which packets leave otherwise than by these interfaces, empty if none does."""
        passed = list(self._passed(prefix))
        if not passed:
            return ""
        try:
            told = [seen for seen in map(rtnl.parse_route, self._channel.ask(_question(prefix))) if seen]
        except netlink.Refusal as refusal:
            # it leads nowhere, maybe for no other reason than that our route's link is down
            kind = _KINDS.get(refusal.number, 0)
            return next((rule.text for rule in passed if self._refuses(rule, prefix, kind)), "")
        if any(seen.protocol == ROUTE_PROTOCOL or seen.variant.ifindex in indexes for seen in told):
            return ""
        tables = {seen.table for seen in told}
        return next((rule.text for rule in passed if any(map(rule.looks_in, tables))), "")

    def _refuses(self, rule: RuleSeen, prefix: Prefix, kind: int) -> bool:
        """Tell whether an address is led nowhere by a rule itself, or by a route of this kind in its table."""
        if rule.action in rules.REFUSALS or not kind:
            return rule.action in rules.REFUSALS
        version = socket.AF_INET6 if family(prefix) == 6 else socket.AF_INET
        try:
            told = list(self._channel.dump(rtnl.route_dump(version, rule.table, protocol=0, kind=kind)))
        except netlink.Refusal:
            # a table nobody has put a route into yet
            return False
        found = filter(None, (rtnl.parse_route(payload) for _, payload in told))
        return any(contains(seen.prefix, split(prefix)[0]) for seen in found if seen.variant.kind == kind)

    def _passed(self, prefix: Prefix) -> Iterator[RuleSeen]:
        """Yield the rules that every packet to an address meets before ours, up to the first that we may meet alone."""
        address = split(prefix)[0]
        for rule in self._rules.get(family(prefix), ()):
            if rule.asks is Asks.PERHAPS_US:
                return
            if contains(rule.to, address):
                if rule.looks_in(MAIN_TABLE):
                    return
                yield rule

    def _read(self, version: int) -> Iterator[RuleSeen]:
        """Yield what comes before table main and may answer us; nothing if no rule leads to that table."""
        found: list[RuleSeen] = []
        for seen in self._dump(version):
            if seen.is_main:
                yield from found
                return
            if not seen.is_local and seen.asks is not Asks.MORE:
                found.append(seen)

    def _dump(self, version: int) -> Iterator[RuleSeen]:
        try:
            for _, payload in self._channel.dump(rtnl.rule_dump(version)):
                yield rules.parse_rule(payload)
        except netlink.Refusal as refusal:
            # without IPv6, or its rules, nothing leads past
            if refusal.number != errno.EAFNOSUPPORT:
                raise


def _question(prefix: Prefix) -> bytes:
    return rtnl.route_request(split(prefix)[0])
