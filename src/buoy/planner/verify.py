"""What differs between desired and observed, entry by entry."""

from collections.abc import Collection

import msgspec

from buoy.model.nodestate import Entry, Key, NodeState


class Mismatch(msgspec.Struct, frozen=True):
    """An entry that is not as wanted; None: it is not wanted, or was not seen."""

    key: Key
    wanted: Entry | None
    seen: Entry | None


def mismatches(desired: NodeState, observed: NodeState, keys: Collection[Key] | None = None) -> tuple[Mismatch, ...]:
    """Return what differs under these keys (None: all of both), sorted by key."""
    if keys is None:
        keys = desired.keys() | observed.keys()
    return tuple(
        Mismatch(key, desired.get(key), observed.get(key))
        for key in sorted(key for key in set(keys) if desired.get(key) != observed.get(key))
    )
