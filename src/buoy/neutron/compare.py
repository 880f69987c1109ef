# SPDX-License-Identifier: Apache-2.0
"""The full comparison: all the database says against all that stands in the store.

Promises: counts what is missing, stale and orphaned, which should all be zero,
and repairs it through the outbox, so that a difference that was merely on its
way is written once and nothing older ever replaces something newer. More than
30 % of orphans are not deleted unless a person confirms: an empty or older
database must not empty the store.
"""

from collections.abc import Collection, Mapping

import msgspec

from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.pool import Pool, Registry
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.neutron.drainer import same
from buoy.neutron.reader import KINDS, Wanted

FEW = 10
"""So many orphans are deleted whatever their share."""

SHARE = 0.3

PREFIXES = tuple(f"{kind}/" for kind in KINDS)


class Difference(msgspec.Struct, frozen=True):
    """Paths that stand only in the database, differ, or stand only in the store; `stored` counts what stands there."""

    missing: frozenset[str]
    stale: frozenset[str]
    orphan: frozenset[str]
    stored: int

    def __str__(self) -> str:
        counts = f"{len(self.missing)} missing, {len(self.stale)} stale, {len(self.orphan)} orphan"
        return f"{counts} of {self.stored} documents in the store"

    @property
    def suspicious(self) -> bool:
        """Whether a person has to confirm the deletions."""
        return len(self.orphan) > FEW and len(self.orphan) > SHARE * self.stored

    @property
    def repairs(self) -> frozenset[str]:
        """What may be repaired without asking."""
        changed = self.missing | self.stale
        return changed if self.suspicious else changed | self.orphan


def compare(snapshot: Snapshot, wanted: Wanted) -> Difference:
    """Compare what Neutron owns of a snapshot with everything that should stand there."""
    ours = owned(snapshot)
    right = {path: document for path, document in wanted.items() if not isinstance(document, InvalidInput)}
    return Difference(
        missing=frozenset(right.keys() - ours),
        stale=frozenset(p for p in ours & right.keys() if not same(snapshot.documents.get(p), right[p])),
        # what cannot be translated is kept as it was
        orphan=frozenset(ours - wanted.keys()),
        stored=len(ours),
    )


def owned(snapshot: Snapshot) -> set[str]:
    """Return the paths Neutron is the writer of, readable or not; others write pools and service IPs too."""
    pools = {p.name for p in snapshot.documents.values() if isinstance(p, Pool) and p.registry is Registry.NEUTRON}
    paths = {path for path, document in snapshot.documents.items() if _is_owned(path, document, pools)}
    return paths | {path for path in snapshot.broken if path.startswith(PREFIXES)}


def _is_owned(path: str, document: Document, pools: Collection[str]) -> bool:
    if isinstance(document, Pool):
        return document.registry is Registry.NEUTRON
    if isinstance(document, ServiceIP):
        return document.mode is Mode.TRANSLATED and document.pool in pools
    return path.startswith(PREFIXES)


def counts(difference: Difference) -> Mapping[str, int]:
    """Return the three counts by name, for metrics and logs."""
    return {"missing": len(difference.missing), "stale": len(difference.stale), "orphan": len(difference.orphan)}
