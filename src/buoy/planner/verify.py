# SPDX-License-Identifier: Apache-2.0
"""What differs between desired and observed, entry by entry."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from operator import attrgetter

import msgspec

from buoy.model.nodestate import Entry, Key, NodeState, Table


class Mismatch(msgspec.Struct, frozen=True):
    """An entry that is not as wanted; None: it is not wanted, or was not seen."""

    key: Key
    wanted: Entry | None
    seen: Entry | None


def mismatches(desired: NodeState, observed: NodeState, keys: Collection[Key] | None = None) -> tuple[Mismatch, ...]:
    """Return what differs under these keys (None: all of both), sorted by key."""
    return tuple(Mismatch(key, desired.get(key), observed.get(key)) for key in differing(desired, observed, keys))


def differing(desired: NodeState, observed: NodeState, keys: Collection[Key] | None = None) -> list[Key]:
    """Return the keys under which the states differ (None: all of both), sorted."""
    if keys is not None:
        return in_order({key for key in keys if desired.get(key) != observed.get(key)})
    # over the entries of one side: a third of the time of asking both for each of 70,000 keys
    unlike = [key for key, wanted in desired.items() if observed.get(key) != wanted]
    return in_order([*unlike, *(key for key in observed if key not in desired)])


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Return keys sorted; table by table, for plain tuples compare in a third of the time of keys."""
    tables: defaultdict[Table, list[Key]] = defaultdict(list)
    for key in keys:
        tables[key.table].append(key)
    return [key for table in sorted(tables) for key in sorted(tables[table], key=attrgetter("name"))]
