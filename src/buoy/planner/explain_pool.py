# SPDX-License-Identifier: Apache-2.0
"""What is said of the pool of an address: which it is, whether it is still there, and whether it contains the address.

Promises that a pool which somebody deleted or made smaller is named, for the address stays whose it is and nothing
else would tell. The tricky thing is an address that nobody has: which pool it would be drawn from tells a typing
error from one that was given back.
"""

from collections.abc import Iterator

from buoy.model.address import Address, contains, packed
from buoy.model.pool import Pool, Range
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.line import Line, yes


def pool_line(service: ServiceIP, snapshot: Snapshot) -> Line:
    """Return where an address was drawn from."""
    if not service.pool:
        return yes("pool", "drawn from no pool")
    pool = snapshot.documents.get(f"pools/{service.pool}")
    if not isinstance(pool, Pool):
        return Line("pool", f"drawn from pool {service.pool}, which is not there any more; make it again", ok=False)
    text = f"{pool.name} ({', '.join(_parts(pool))}), books kept by {pool.registry}"
    inside = is_inside(pool, service.address)
    return Line("pool", text if inside else f"{text}, which does not contain {service.address}", ok=inside)


def free_lines(address: Address, snapshot: Snapshot) -> Iterator[Line]:
    """Yield the pools that contain an address which nobody has."""
    pools = (found for _, found in sorted(snapshot.documents.items()) if isinstance(found, Pool))
    for pool in pools:
        if is_inside(pool, address):
            yield yes("pool", f"{pool.name} ({', '.join(_parts(pool))}) contains it, and has given it to nobody")


def is_inside(pool: Pool, address: Address) -> bool:
    """Tell whether a pool contains an address, be it excluded or not."""
    return any(contains(prefix, address) for prefix in pool.prefixes) or any(
        _within(each, address) for each in pool.ranges
    )


def _parts(pool: Pool) -> tuple[str, ...]:
    return (*pool.prefixes, *(f"{each.first}-{each.last}" for each in pool.ranges))


def _within(addresses: Range, address: Address) -> bool:
    first, last, it = packed(addresses.first), packed(addresses.last), packed(address)
    return len(first) == len(it) and first <= it <= last
