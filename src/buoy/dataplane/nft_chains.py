# SPDX-License-Identifier: Apache-2.0
"""Chains of groups and combinations, and the sets of groups: what is written as text.

Promises: all that comes in one plan is one transaction; if nft refuses it, each
is tried alone, so that one bad rule stops no other. The tricky thing: a group's
sets outlive its chains while rules of other groups name them, and are removed
when nothing does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from buoy.dataplane.nft_table import NftTable
from buoy.model.errors import DataplaneError, InvalidInput
from buoy.model.group import Side
from buoy.model.nodestate import Change, Combination, Entry, Failure, GroupRules, Key, Step, Table
from buoy.render import nft as text
from buoy.render.nft_names import combination_chain, group_chain, identity, member_set

CHAINS = (Table.GROUP, Table.COMBINATION)


class Chains:
    """Writes chains through `load`, which performs one transaction or raises `DataplaneError`."""

    def __init__(self, table: NftTable, load: Callable[[str], None]) -> None:
        self._table = table
        self._load = load

    def come(self, steps: Iterable[Step]) -> list[Failure]:
        """Make chains that are wished, and the sets that elements among the steps need."""
        existing = set(self._table.set_names())
        return self._write([s for s in steps if _change(s).after is not None and _needs_text(_change(s), existing)])

    def go(self, steps: Sequence[Step]) -> list[Failure]:
        """Remove chains that are no longer wished, and sets nothing uses any more."""
        leaving = [step for step in steps if _change(step).after is None and _change(step).key.table in CHAINS]
        # a group's chain can go only when no combination jumps to it
        failures = self._write(sorted(leaving, key=lambda step: -_change(step).key.table))
        self._remove_unused({group for step in steps for group in _left_by(_change(step))})
        return failures

    def sweep(self) -> None:
        """Remove the sets nothing uses: what one who was killed between chains and sets has left."""
        found = (identity(name) for name in self._table.set_names())
        self._remove_unused({told[1] for told in found if told is not None})

    def _remove_unused(self, groups: Iterable[str]) -> None:
        self._remove_sets([group for group in sorted(groups) if self._unused(group)])

    def _write(self, steps: Sequence[Step]) -> list[Failure]:
        failures: list[Failure] = []
        lawful: list[tuple[Step, str]] = []
        for step in steps:
            try:
                lawful.append((step, _text_of(_change(step))))
            except InvalidInput as error:
                failures.append(Failure(step, str(error)))
        return failures + self._load_steps(lawful)

    def _load_steps(self, lawful: Sequence[tuple[Step, str]]) -> list[Failure]:
        if not lawful:
            return []
        try:
            self._load("".join(line for _, line in lawful))
        except DataplaneError as error:
            if len(lawful) == 1:
                return [Failure(lawful[0][0], error.stderr.strip())]
            return [failure for pair in lawful for failure in self._load_steps([pair])]
        for step, _ in lawful:
            self._read_back(_change(step))
        return []

    def _read_back(self, change: Change) -> None:
        for chain in chains_of(change.key).values():
            self._table.reload_chain(chain)
        if change.key.table is not Table.COMBINATION and change.after is not None:
            groups = (change.key.name[0], *_named(change.after))
            for name in {name for group in groups for name in _sets_of(group)} - set(self._table.set_names()):
                self._table.reload_set(name)

    def _unused(self, group: str) -> bool:
        sets = _sets_of(group)
        named = f" @{group}"
        return (
            sets <= set(self._table.set_names())
            and not any(self._table.content(name) for name in sets)
            and not any(self._table.comments(chains_of(Key(Table.GROUP, (group,)))).values())
            and not any(
                line.endswith(named) for chain in self._table.chain_names() for line in self._table.lines(chain)
            )
        )

    def _remove_sets(self, groups: Sequence[str]) -> None:
        names = sorted(name for group in groups for name in _sets_of(group))
        if not names:
            return
        try:
            self._load(text.remove_sets(names))
        except DataplaneError:
            # somebody's own rule uses one of them: an empty set harms nobody
            return
        for name in names:
            self._table.forget_set(name)


def chains_of(key: Key) -> dict[Side, str]:
    """Return the chains of a group or combination, none for other keys."""
    chain = {Table.GROUP: group_chain, Table.COMBINATION: combination_chain}.get(key.table)
    return {side: chain(side, key.name[0]) for side in Side} if chain else {}


def _change(step: Step) -> Change:
    assert isinstance(step.act, Change)
    return step.act


def _needs_text(change: Change, existing: set[str]) -> bool:
    if change.key.table in CHAINS:
        return True
    return change.key.table is Table.MEMBER and not _sets_of(change.key.name[0]) <= existing


def _left_by(change: Change) -> Iterator[str]:
    """Yield the groups that a change may leave unused: its own, and those its former rules named."""
    if change.after is None and change.key.table in (Table.GROUP, Table.MEMBER):
        yield change.key.name[0]
    yield from _named(change.before)


def _named(entry: Entry | None) -> Iterator[str]:
    """Yield the groups that the rules of a group name."""
    if isinstance(entry, GroupRules):
        yield from (rule.group for rule in entry.rules if rule.group is not None)


def _text_of(change: Change) -> str:
    identifier, entry = change.key.name[0], change.after
    if isinstance(entry, GroupRules):
        return text.group(identifier, entry.rules)
    if isinstance(entry, Combination):
        return text.combination(identifier, entry.groups)
    if change.key.table is Table.MEMBER:
        return "\n".join(text.member_sets(identifier)) + "\n"
    return text.remove_chains(chains_of(change.key).values())


def _sets_of(group: str) -> set[str]:
    try:
        return {member_set(group, version, host=host) for version in (4, 6) for host in (True, False)}
    except InvalidInput:
        return set()
