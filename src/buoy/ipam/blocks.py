# SPDX-License-Identifier: Apache-2.0
"""The addresses of a pool as intervals of numbers: nothing is ever enumerated, a /48 costs what a /32 costs.

Promises that the blocks of a pool are disjoint, sorted and without what the pool
excludes. The tricky thing is ``avoid_end_addresses``: ends in .0 and .255 are no
intervals (a /8 has 131,072 of them), so they are left out by arithmetic.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from buoy.model.address import Address, Prefix, family, packed, split, unpacked
from buoy.model.pool import Pool


class Block(NamedTuple):
    """Addresses from `first` to `last`, as numbers, both included."""

    first: int
    last: int


class Blocks(NamedTuple):
    """Addresses of one family, sorted; `avoiding` those that end in .0 and .255."""

    items: tuple[Block, ...]
    avoiding: bool = False

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return sum(last - first + 1 - (_ends(first, last) if self.avoiding else 0) for first, last in self.items)

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int)
        at = bisect_right(self.items, (number, _INFINITE)) - 1
        return at >= 0 and number <= self.items[at].last and not (self.avoiding and _is_end(number))

    def lowest(self, taken: Sequence[int], start: int) -> int | None:
        """Return the lowest address from `start` on that is not among `taken` (sorted, distinct), None if none is."""
        for first, last in self.items[max(0, bisect_right(self.items, (start, _INFINITE)) - 1) :]:
            number = _gap(taken, max(first, start))
            while self.avoiding and _is_end(number):
                number = _gap(taken, number + 1)
            if number <= last:
                return number
        return None

    def count(self, taken: Sequence[int]) -> int:
        """Return how many of `taken` (sorted) lie in the blocks."""
        if self.avoiding:
            return sum(1 for number in self.within(taken) if not _is_end(number))
        return sum(bisect_right(taken, last) - bisect_left(taken, first) for first, last in self.items)

    def within(self, taken: Sequence[int]) -> Iterator[int]:
        """Yield those of `taken` (sorted) that lie between the ends of a block."""
        for first, last in self.items:
            yield from taken[bisect_left(taken, first) : bisect_right(taken, last)]


_INFINITE = 2**128


def blocks(pool: Pool, of_family: int) -> Blocks:
    """Return the addresses of a family that a pool gives."""
    return Blocks(_without(extent(pool, of_family), _extents(pool.exclude, of_family)), _avoids(pool, of_family))


def extent(pool: Pool, of_family: int) -> tuple[Block, ...]:
    """Return the addresses of a family between the ends of a pool's prefixes and ranges, excluded ones among them."""
    ranges = (Block(number(item.first), number(item.last)) for item in pool.ranges if family(item.first) == of_family)
    return _joined((*_extents(pool.prefixes, of_family), *ranges))


def block(prefix: Prefix) -> Block:
    """Return the addresses of a prefix."""
    network, length = split(prefix)
    first = number(network)
    return Block(first, first + (1 << (128 if ":" in network else 32) - length) - 1)


def number(address: Address) -> int:
    """Return an address as a number."""
    return int.from_bytes(packed(address))


def address(of_number: int, of_family: int) -> Address:
    """Return the address that a number is."""
    return unpacked(of_number.to_bytes(16 if of_family == 6 else 4))


def _extents(prefixes: Iterable[Prefix], of_family: int) -> tuple[Block, ...]:
    return tuple(block(prefix) for prefix in prefixes if family(prefix) == of_family)


def _avoids(pool: Pool, of_family: int) -> bool:
    return pool.avoid_end_addresses and of_family == 4


def _joined(items: Iterable[Block]) -> tuple[Block, ...]:
    found: list[Block] = []
    for item in sorted(items):
        if found and item.first <= found[-1].last + 1:
            found[-1] = Block(found[-1].first, max(found[-1].last, item.last))
        else:
            found.append(item)
    return tuple(found)


def _without(items: tuple[Block, ...], holes: tuple[Block, ...]) -> tuple[Block, ...]:
    for hole in holes:
        items = tuple(piece for item in items for piece in _pieces(item, hole))
    return items


def _pieces(item: Block, hole: Block) -> tuple[Block, ...]:
    if hole.last < item.first or item.last < hole.first:
        return (item,)
    below, above = Block(item.first, hole.first - 1), Block(hole.last + 1, item.last)
    return tuple(piece for piece in (below, above) if piece.first <= piece.last)


def _gap(taken: Sequence[int], start: int) -> int:
    """Return the lowest number from `start` on that is not taken.

    Numbers that follow each other without a gap differ by as much as their places do, so the first gap is found by
    bisection and not step by step.
    """
    low = begin = bisect_left(taken, start)
    high = len(taken)
    while low < high:
        middle = (low + high) // 2
        if taken[middle] - start == middle - begin:
            low = middle + 1
        else:
            high = middle
    return start + low - begin


def _is_end(of_number: int) -> bool:
    return of_number & 255 in {0, 255}


def _ends(first: int, last: int) -> int:
    """Return how many from `first` to `last` end in .0 or .255."""
    zeros = (last >> 8) - ((first - 1) >> 8)
    full = ((last + 1) >> 8) - (first >> 8)
    return zeros + full
