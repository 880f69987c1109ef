# SPDX-License-Identifier: Apache-2.0
"""Snapshot: all that is wanted, at one revision.

There is no `complete` flag to forget: a snapshot can only be built by a source
that has listed everything, and it carries the identity of the store it was
listed from, by which the guard knows an older or another store.
"""

from collections.abc import Mapping

import msgspec

from buoy.model.documents import Document


class Identity(msgspec.Struct, frozen=True):
    """Which store spoke, and how far it had come: etcd's cluster id and revision.

    `witness` is the revision of the listening node's own witness in it, 0 if there is none.
    """

    store: str
    revision: int
    witness: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """Documents by path; `revisions` holds the store revision of each, `broken` what could not be read and why."""

    identity: Identity
    documents: Mapping[str, Document]
    revisions: Mapping[str, int]
    broken: Mapping[str, str]


class Batch(msgspec.Struct, frozen=True):
    """What a source says next: the snapshot as it now is, and the paths that changed to make it so.

    `changed` None means: everything may have changed (first listing, or one after a lost watch).
    """

    snapshot: Snapshot
    changed: frozenset[str] | None
    listed: bool = False
    """A new listing showed the changes: a deletion among them may be one that the store forgot, not one said."""
