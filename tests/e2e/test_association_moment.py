# SPDX-License-Identifier: Apache-2.0
"""Connections begun at any moment around an association: none is left dead, neither way, and none is cut needlessly.

The node has a way out for addresses it does not serve, as real nodes have, and the
router a way to the node for the whole pool, so that packets cross the node before,
while and after it learns what to do with them.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.talking import PORT, talk

OUTSIDE = "192.168.8.1"
POOL = "172.16.1.0/24"


@pytest.fixture(scope="module")
def red(cloud: Cloud) -> Iterator[dict[str, Any]]:
    guest = cloud.boot("red", "compute-1", network="calico")
    cloud.on("access", "ip", "route", "add", POOL, "via", "192.168.8.3")
    cloud.on("compute-1", "ip", "route", "add", POOL, "via", OUTSIDE)
    with talk(cloud, "red", "answer", str(PORT)), talk(cloud, "access", "answer", str(PORT)):
        yield guest


@pytest.fixture
def address(cloud: Cloud, red: dict[str, Any]) -> Iterator[str]:
    made = str(cloud.get("floating", "ip", "create", "public")["floating_ip_address"])
    yield made
    cloud.openstack("floating", "ip", "delete", made)


@pytest.mark.parametrize("trial", range(3))
def test_connections_begun_around_an_association_succeed_or_fail_at_once(
    cloud: Cloud, red: dict[str, Any], address: str, trial: int
) -> None:
    with talk(cloud, "access", "begin", address, str(PORT)) as said:
        eventually(lambda: len(said) > 20)
        assert [] == [line for line in said if line.startswith("ok")]
        cloud.openstack("floating", "ip", "set", "--port", red["port"], address)
        said.more("ok")
        begun = len(_numbers(said, "begun")) + 50
        eventually(lambda: set(range(begun)) <= _numbers(said, ""), seconds=30)
    assert set() == _numbers(said, "ETIMEDOUT")


def test_a_datagram_flow_begun_before_the_association_works_after_it_both_ways(
    cloud: Cloud, red: dict[str, Any], address: str
) -> None:
    fixed = next(one for one in red["addresses"] if "." in one)
    with (
        talk(cloud, "access", "keep", "udp", address, str(PORT)) as inward,
        talk(cloud, "red", "keep", "udp", OUTSIDE, str(PORT)) as outward,
    ):
        eventually(lambda: len(inward) > 10)
        assert [] == [line for line in inward if "red" in line]
        outward.more(f"access {fixed} {OUTSIDE}")
        cloud.openstack("floating", "ip", "set", "--port", red["port"], address)
        inward.more(f"red {OUTSIDE} {fixed}")
        outward.more("access")
        cloud.openstack("floating", "ip", "unset", "--port", address)
        outward.more(f"access {fixed} {OUTSIDE}")


def test_streams_to_and_from_the_fixed_address_outlive_association_and_its_end(
    cloud: Cloud, red: dict[str, Any], address: str
) -> None:
    fixed = next(one for one in red["addresses"] if "." in one)
    with (
        talk(cloud, "access", "keep", "tcp", fixed, str(PORT)) as inward,
        talk(cloud, "red", "keep", "tcp", OUTSIDE, str(PORT)) as outward,
    ):
        inward.more("red")
        outward.more("access")
        cloud.openstack("floating", "ip", "set", "--port", red["port"], address)
        eventually(partial(_leads, cloud, address))
        inward.more(f"red {OUTSIDE} {fixed}")
        outward.more(f"access {fixed} {OUTSIDE}")
        cloud.openstack("floating", "ip", "unset", "--port", address)
        eventually(partial(_leads, cloud, address), lambda leads: not leads)
        inward.more(f"red {OUTSIDE} {fixed}")
        outward.more(f"access {fixed} {OUTSIDE}")


def _leads(cloud: Cloud, address: str) -> bool:
    return f"{address} :" in cloud.on("compute-1", "nft", "list", "map", "inet", "buoy", "fip4")


def _numbers(said: list[str], outcome: str) -> set[int]:
    """Return the connections that were begun, or that ended so; empty: that ended in any way."""
    words = [line.split() for line in said]
    return {int(number) for what, number in words if what == outcome or (not outcome and what != "begun")}
