# SPDX-License-Identifier: Apache-2.0
"""What was refused so far in one plan, and which announcements must therefore wait.

Promises: a prefix is not announced if anything refused bears on its forwarding
or policy on this node. The tricky thing: the plan does not say what depends on
what, so it is told by names: the same address, the same interface, or a group
that the interface's combination uses.
"""

from collections.abc import Collection, Sequence

from buoy.dataplane.driver import Driver
from buoy.model.nodestate import (
    Announcement,
    Change,
    Combination,
    Egress,
    Failure,
    Key,
    PortGuard,
    Route,
    Step,
    Table,
)

_BY_INTERFACE = (Table.GUARD, Table.LINK, Table.NEIGHBOUR)
_BY_ADDRESS = (Table.DNAT, Table.MAPPING, Table.RELAY)


class Refused:
    """Collects failures; `policy` is asked for guards and combinations."""

    def __init__(self, policy: Driver) -> None:
        self._policy = policy
        self.failures: list[Failure] = []
        self._addresses: set[str] = set()
        self._interfaces: dict[str, str] = {}
        self._groups: set[str] = set()
        self._combinations: set[str] = set()

    def add(self, failures: Collection[Failure]) -> None:
        """Note what was refused."""
        self.failures += failures
        for failure in failures:
            if isinstance(failure.step.act, Change):
                self._note(failure.step.act, failure.error)

    def allowed(self, steps: Sequence[Step]) -> list[Step]:
        """Return the announcements that may be made; the others become failures."""
        if not self.failures:
            return list(steps)
        verdicts = [(step, self._objection(step)) for step in steps]
        self.failures += [Failure(step, objection) for step, objection in verdicts if objection]
        return [step for step, objection in verdicts if not objection]

    def _note(self, change: Change, error: str) -> None:
        table, name, entry = change.key.table, change.key.name, change.after
        if entry is None:
            return
        if table in _BY_INTERFACE:
            self._interfaces[name[0]] = error
        elif table in _BY_ADDRESS:
            self._addresses.add(name[0])
        elif isinstance(entry, Egress):
            self._addresses.add(entry.address)
        elif isinstance(entry, Route):
            self._addresses.add(name[0].partition("/")[0])
            self._interfaces[entry.interface] = error
        elif table in (Table.GROUP, Table.MEMBER):
            self._groups.add(name[0])
        elif table is Table.COMBINATION:
            self._combinations.add(name[0])

    def _objection(self, step: Step) -> str:
        if not isinstance(step.act, Change) or not isinstance(step.act.after, Announcement):
            return ""
        address, interface = step.act.key.name[0].partition("/")[0], step.act.after.interface
        if address in self._addresses:
            return f"not announced: the forwarding of {address} was refused"
        if interface is None:
            return ""
        if interface in self._interfaces:
            return f"not announced: {interface} was refused ({self._interfaces[interface]})"
        return self._policy_objection(interface)

    def _policy_objection(self, interface: str) -> str:
        if not self._groups and not self._combinations:
            return ""
        guard = self._policy.observe([Key(Table.GUARD, (interface,))]).get(Key(Table.GUARD, (interface,)))
        if not isinstance(guard, PortGuard) or guard.combination is None:
            return ""
        key = Key(Table.COMBINATION, (guard.combination,))
        combination = self._policy.observe([key]).get(key)
        groups = combination.groups if isinstance(combination, Combination) else ()
        if guard.combination in self._combinations or not self._groups.isdisjoint(groups):
            return f"not announced: the policy of {interface} was refused"
        return ""
