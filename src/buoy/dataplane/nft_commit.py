# SPDX-License-Identifier: Apache-2.0
"""Changes of elements as one transaction, and what to do when the kernel refuses it.

Promises: either every remaining change is in force or none; a change that is
refused does not stop the others. The tricky thing: messages are computed from
what the set *holds*, so a change already made costs nothing and a retry after
re-reading heals a mirror that was wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from buoy.dataplane import netlink, nft_wire
from buoy.dataplane.nft_elements import Placed, elements, kind, place
from buoy.dataplane.nft_prefixes import interval, outermost
from buoy.dataplane.nft_table import NftTable
from buoy.dataplane.nft_wire import DELELEMENT, NEWELEMENT, Element
from buoy.model.address import Prefix, family, is_host
from buoy.model.errors import InvalidInput
from buoy.model.nodestate import Change, Failure, Key, Step, Table
from buoy.render.nft_names import member_set


class Act(NamedTuple):
    """One element that comes or goes, and the step it is for."""

    verb: int
    name: str
    element: Element
    step: Step


class Commit:
    """Performs changes of elements; `wished` holds the prefixes of each interval set that has any, nested ones too."""

    def __init__(self, channel: netlink.Channel, table: NftTable) -> None:
        self._channel = channel
        self._table = table
        self.wished: dict[str, set[Prefix]] = {}

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Make the changes; return those the kernel refused."""
        wanted, good, failures = _split_lawful(steps)
        reread = False
        while good:
            acts = self._acts(good, wanted)
            refusals = self._transact(acts)
            if not refusals:
                self._done(good, acts)
                return failures
            if not reread:
                reread = True
                for name in {act.name for act in acts}:
                    self._table.reload_set(name)
                continue
            blamed = {id(acts[index].step): refusal for index, refusal in refusals.items() if index >= 0}
            if not blamed and len(good) > 1:
                half = len(good) // 2
                return failures + self.apply(good[:half]) + self.apply(good[half:])
            blamed = blamed or {id(good[0]): refusals[-1]}
            failures += [Failure(step, blamed[id(step)].stderr) for step in good if id(step) in blamed]
            good = [step for step in good if id(step) not in blamed]
        return failures

    def _transact(self, acts: Sequence[Act]) -> dict[int, netlink.Refusal]:
        if not acts:
            return {}
        requests = [nft_wire.element_message(act.verb, act.name, kind(act.name), act.element) for act in acts]
        answers = self._channel.transact(nft_wire.batch(requests), len(requests))
        return {index - 1: refusal for index, refusal in answers.items()}

    def _done(self, steps: Iterable[Step], acts: Iterable[Act]) -> None:
        for act in acts:
            self._table.written(act.verb, act.name, act.element)
        for name, prefixes in self._wishes(steps).items():
            if prefixes:
                self.wished[name] = prefixes
            else:
                self.wished.pop(name, None)

    def _acts(self, steps: Sequence[Step], wanted: Mapping[int, frozenset[Placed]]) -> list[Act]:
        going: list[Act] = []
        coming: list[Act] = []
        for step in steps:
            if prefix_set(_change(step).key) is not None:
                continue
            before, after = self._present(_change(step)), wanted[id(step)]
            going += [Act(DELELEMENT, name, element, step) for name, element in before - after]
            coming += [Act(NEWELEMENT, name, element, step) for name, element in after - before]
        by_set = {prefix_set(_change(step).key): step for step in steps}
        for name, prefixes in self._wishes(steps).items():
            now = {Element(*place) for place in self._table.content(name)}
            outer = {interval(prefix) for prefix in outermost(prefixes)}
            going += [Act(DELELEMENT, name, element, by_set[name]) for element in now - outer]
            coming += [Act(NEWELEMENT, name, element, by_set[name]) for element in outer - now]
        return going + coming

    def _wishes(self, steps: Iterable[Step]) -> dict[str, set[Prefix]]:
        wishes: dict[str, set[Prefix]] = {}
        for step in steps:
            change = _change(step)
            name = prefix_set(change.key)
            if name is not None:
                prefixes = wishes.setdefault(name, set(self.wished.get(name, ())))
                (prefixes.discard if change.after is None else prefixes.add)(Prefix(change.key.name[-1]))
        return wishes

    def _present(self, change: Change) -> frozenset[Placed]:
        if change.key.table is Table.GUARD:
            return self._table.guard(change.key.name[0])
        name, raw = place(change.key)
        data = self._table.content(name).get((raw, b""))
        return frozenset() if data is None else frozenset({(name, Element(raw, b"", data))})


def prefix_set(key: Key) -> str | None:
    """Return the interval set a key's prefix is in, or None for a key that is an element of its own."""
    if key.table is Table.INTERNAL:
        return f"internal{family(Prefix(key.name[0]))}"
    if key.table is Table.STRAY and not is_host(Prefix(key.name[0])):
        return f"straynet{family(Prefix(key.name[0]))}"
    if key.table is Table.MEMBER and not is_host(Prefix(key.name[1])):
        return member_set(key.name[0], family(Prefix(key.name[1])), host=False)
    return None


def _change(step: Step) -> Change:
    assert isinstance(step.act, Change)
    return step.act


def _wanted(change: Change) -> frozenset[Placed]:
    return elements(change.key, change.after) if change.after is not None else frozenset()


def _split_lawful(steps: Sequence[Step]) -> tuple[dict[int, frozenset[Placed]], list[Step], list[Failure]]:
    """Return the elements each step wants, by its identity, the steps that are lawful, and the others as refused."""
    wanted: dict[int, frozenset[Placed]] = {}
    good: list[Step] = []
    failures: list[Failure] = []
    for step in steps:
        try:
            if prefix_set(_change(step).key) is None:
                wanted[id(step)] = _wanted(_change(step))
            good.append(step)
        except (InvalidInput, OSError) as error:
            failures.append(Failure(step, str(error)))
    return wanted, good, failures
