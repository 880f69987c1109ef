# SPDX-License-Identifier: Apache-2.0
"""Pools that give what another pool gives, or what the cluster uses itself."""

import pytest

from buoy.ipam.overlap import Occupied, occupied, overlaps
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool, Range
from buoy.model.proxied import Eligibility
from tests.unit.ipam.room import V4, V6, pool

RANGE = Range(first=Address("198.51.100.250"), last=Address("198.51.101.5"))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (pool(name="b", prefixes=(Prefix("198.51.100.128/25"),)), "198.51.100.128/25 of pool b"),
        (pool(name="b", prefixes=(Prefix("198.51.0.0/16"),)), "198.51.0.0/16 of pool b"),
        (pool(name="b", prefixes=(), ranges=(RANGE,)), "198.51.100.250-198.51.101.5 of pool b"),
    ],
)
def test_two_pools_that_overlap_are_both_named(other: Pool, what: str) -> None:
    (found,) = overlaps(V4, [V4, other, V6])
    assert f"198.51.100.0/24 of pool a overlaps {what}" == str(found)
    assert (
        "pools/a.prefixes[0]: '198.51.100.0/24' is not valid: "
        f"it overlaps {what}: give other addresses, or exclude those"
    ) == str(found.error)
    assert ["b"] == [each.pool for each in overlaps(other, [V4])]


@pytest.mark.parametrize(
    "other",
    [
        V4,
        V6,
        pool(name="b", prefixes=(Prefix("198.51.101.0/24"),)),
        pool(name="b", exclude=(Prefix("198.51.100.0/24"),)),
        pool(name="b", prefixes=(Prefix("198.51.100.255/32"),), avoid_end_addresses=True),
    ],
)
def test_pools_that_have_no_address_in_common_do_not_overlap(other: Pool) -> None:
    assert () == overlaps(V4, [other])


def test_a_range_is_named_by_its_place() -> None:
    mixed = pool(ranges=(RANGE,))
    (found,) = overlaps(mixed, [pool(name="b", prefixes=(Prefix("198.51.101.0/24"),))])
    assert (".ranges[0]", "198.51.100.250-198.51.101.5") == (found.field, found.value)


def test_what_the_cluster_uses_is_named_with_its_use() -> None:
    node = Eligibility(
        node="n1",
        addresses=(Address("198.51.100.7"), Address("192.0.2.1")),
        prefixes=(Prefix("198.51.100.64/26"), Prefix("2001:db8::/64")),
    )
    used = (*occupied(node), Occupied(Prefix("198.51.0.0/16"), "for cluster IPs"))
    assert [
        "198.51.100.0/24 of pool a overlaps 198.51.100.7/32, an address of node n1",
        "198.51.100.0/24 of pool a overlaps 198.51.100.64/26, for pods of node n1",
        "198.51.100.0/24 of pool a overlaps 198.51.0.0/16, for cluster IPs",
    ] == [str(found) for found in overlaps(V4, [], used)]


def test_a_nodes_address_that_the_pool_leaves_out_does_no_harm() -> None:
    own = [Occupied(Prefix("198.51.100.255/32"), "an address of node n1")]
    assert () == overlaps(pool(avoid_end_addresses=True), [], own)
    assert () == overlaps(pool(exclude=(Prefix("198.51.100.255/32"),)), [], own)
    assert 1 == len(overlaps(V4, [], own))
