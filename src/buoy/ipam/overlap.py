# SPDX-License-Identifier: Apache-2.0
"""Whether a pool gives addresses that another pool gives too, or that the cluster uses for something else.

Promises that every finding names both, and the field to be changed. The tricky
thing: what a pool excludes it does not give, so excluding the part in question is
a remedy; and a pool within the nodes' own subnet is lawful, one with a node's own
address is not.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from buoy.ipam.blocks import Block, Blocks, block, blocks
from buoy.model.address import Prefix, family, host_prefix
from buoy.model.errors import InvalidInput
from buoy.model.pool import Pool
from buoy.model.proxied import Eligibility


class Occupied(NamedTuple):
    """Addresses that are in use otherwise, and by what, such as ``cluster IPs`` or ``pods of node n1``."""

    prefix: Prefix
    what: str


class Overlap(NamedTuple):
    """Addresses that a pool has in common with something: `field` of the pool says `value`."""

    pool: str
    field: str
    value: str
    other: str

    @property
    def error(self) -> InvalidInput:
        """The same for the door, where such a pool is refused."""
        remedy = f"it overlaps {self.other}: give other addresses, or exclude those"
        return InvalidInput(f"pools/{self.pool}{self.field}", self.value, remedy)

    def __str__(self) -> str:
        return f"{self.value} of pool {self.pool} overlaps {self.other}"


def overlaps(pool: Pool, others: Iterable[Pool], occupied: Iterable[Occupied] = ()) -> tuple[Overlap, ...]:
    """Return what a pool overlaps: other pools (one of the same name is itself), and what is occupied."""
    rivals = [
        (f"{text} of pool {other.name}", of_family, given)
        for other in others
        if other.name != pool.name
        for _, text, of_family, given in _fields(other)
    ]
    rivals += [(f"{prefix}, {what}", family(prefix), Blocks((block(prefix),))) for prefix, what in occupied]
    return tuple(
        Overlap(pool.name, field, text, what)
        for field, text, of_family, given in _fields(pool)
        for what, its_family, its in rivals
        if of_family == its_family and _meet(given, its)
    )


def occupied(node: Eligibility) -> tuple[Occupied, ...]:
    """Return what a node uses: its own addresses, and the prefixes of its pods."""
    own = (Occupied(host_prefix(address), f"an address of node {node.node}") for address in node.addresses)
    return (*own, *(Occupied(prefix, f"for pods of node {node.node}") for prefix in node.prefixes))


def _fields(pool: Pool) -> Iterator[tuple[str, str, int, Blocks]]:
    """Yield each prefix and range of a pool: its field, its text, its family, and what of it the pool gives."""
    for index, prefix in enumerate(pool.prefixes):
        alone = msgspec.structs.replace(pool, prefixes=(prefix,), ranges=())
        yield f".prefixes[{index}]", prefix, family(prefix), blocks(alone, family(prefix))
    for index, item in enumerate(pool.ranges):
        alone = msgspec.structs.replace(pool, prefixes=(), ranges=(item,))
        yield f".ranges[{index}]", f"{item.first}-{item.last}", family(item.first), blocks(alone, family(item.first))


def _meet(one: Blocks, other: Blocks) -> bool:
    """Tell whether an address is in both; one that ends in .0 or .255 is not where either avoids those."""
    common = (Block(max(a.first, b.first), min(a.last, b.last)) for a in one.items for b in other.items)
    met = tuple(each for each in common if each.first <= each.last)
    return Blocks(met, one.avoiding or other.avoiding).size > 0
