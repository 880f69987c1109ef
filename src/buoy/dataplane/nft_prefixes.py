# SPDX-License-Identifier: Apache-2.0
"""Prefixes in interval sets, where the kernel allows no overlap but wishes may.

Promises: what the kernel holds covers exactly the wished prefixes. The tricky
thing: of nested prefixes only the outermost is in the kernel, so which inner
ones are wished is known only here; a stranger finds the outermost and adds the
others, which changes nothing in the kernel.
"""

from collections.abc import Collection, Iterable

from buoy.dataplane.nft_wire import Element
from buoy.model.address import Prefix, packed, split, unpacked


def interval(prefix: Prefix) -> Element:
    """Return a prefix as start and what follows it; nothing follows the end of the address space."""
    network, length = split(prefix)
    raw = packed(network)
    follows = int.from_bytes(raw) + (1 << (len(raw) * 8 - length))
    end = b"" if follows >> (len(raw) * 8) else follows.to_bytes(len(raw))
    return Element(raw, end)


def outermost(prefixes: Iterable[Prefix]) -> set[Prefix]:
    """Return the prefixes that lie in no other one."""
    kept: set[Prefix] = set()
    reach = -1
    measured = (
        (int.from_bytes(packed(network)), length, prefix) for prefix in prefixes for network, length in [split(prefix)]
    )
    for start, length, prefix in sorted(measured):
        bits = 128 if ":" in prefix else 32
        last = start + (1 << (bits - length)) - 1
        if last > reach:
            kept.add(prefix)
            reach = last
    return kept


def covered(prefix: Prefix, intervals: Collection[tuple[bytes, bytes]]) -> bool:
    """Tell whether one of the intervals holds the whole prefix."""
    wanted = interval(prefix)
    if (wanted.key, wanted.end) in intervals:
        return True
    return any(start <= wanted.key and (not end or (wanted.end and wanted.end <= end)) for start, end in intervals)


def prefixes_of(start: bytes, end: bytes) -> list[Prefix]:
    """Return the fewest prefixes that make up an interval."""
    bits = len(start) * 8
    low, high = int.from_bytes(start), int.from_bytes(end) if end else 1 << bits
    found = []
    while low < high:
        size = min(low & -low or 1 << bits, 1 << ((high - low).bit_length() - 1))
        found.append(Prefix(f"{unpacked(low.to_bytes(len(start)))}/{bits - size.bit_length() + 1}"))
        low += size
    return found
