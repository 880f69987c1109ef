# SPDX-License-Identifier: Apache-2.0
"""What overlaps something is refused by a real API server, by the rule that the controller tells it by."""

import http.client
import json
import random
import ssl
import time
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from buoy.ipam.blocks import address, blocks
from buoy.ipam.overlap import Occupied, occupied, overlaps
from buoy.kubernetes.foreign import IPAddressPool
from buoy.kubernetes.metallb import translate_pool
from buoy.kubernetes.own import encode
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool, Range
from buoy.model.proxied import Eligibility
from tests.store.api.kube import ADMIN, KubeServer

PACKAGING = Path(__file__).resolve().parents[2] / "packaging" / "kubernetes"
POOLS, METALLB = "/apis/buoy.dev/v1/pools", "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
CELLS, PAIRS, CHANGES = 5, 24, 10
WIDTH = 64
"""So many addresses has a cell, in each family; in the middle of it all digits are carried."""


class Door:
    """The API server, asked over one connection; nothing is stored unless it is said."""

    def __init__(self, kube: KubeServer) -> None:
        context = ssl.create_default_context(cafile=str(kube.authority.ca))
        self._connection = http.client.HTTPSConnection(urlsplit(kube.url).netloc, context=context)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, str]:
        """Return the status, and what is said to a failure."""
        headers |= {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        self._connection.request(method, path, json.dumps(body), headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        return response.status, str(answer.get("message", ""))

    def create(self, pool: Pool, *, dry: bool = True) -> str:
        """Create a pool, and return why not."""
        status, said = self.ask("POST", POOLS + ("?dryRun=All" if dry else ""), encode(f"pools/{pool.name}", pool))
        assert (status, bool(said)) in {(201, False), (422, True)}, said
        return said

    def change(self, name: str, **spec: Any) -> str:  # noqa: ANN401  JSON
        """Change a pool by a merge patch, and return why not."""
        status, said = self.ask("PATCH", f"{POOLS}/{name}?dryRun=All", {"spec": spec})
        assert (status, bool(said)) in {(200, False), (422, True)}, said
        return said

    def replace(self, pool: Pool) -> str:
        """Give a pool another spec altogether, and return why not."""
        given = encode(f"pools/{pool.name}", pool)["spec"]
        return self.change(pool.name, **{key: given.get(key) for key in ("prefixes", "ranges", "exclude")})


def pool(name: str, *prefixes: str, **fields: Any) -> Pool:  # noqa: ANN401  as in Pool
    return Pool(name=name, prefixes=tuple(Prefix(each) for each in prefixes), **fields)


OFFICE = pool("office", "192.0.2.128/25", "2001:db8:ffff::/64", exclude=(Prefix("192.0.2.128/26"),))
CROWDED = pool("crowded", "192.0.2.240/28")
NODE = Eligibility(
    node="n1",
    addresses=(Address("198.51.100.7"), Address("2001:db8:fffe::7")),
    prefixes=(Prefix("10.244.1.0/24"), Prefix("fd00::/64")),
)
SERVICES = Occupied(Prefix("10.96.0.0/12"), "for cluster IPs")
GARAGE = {"addresses": ["203.0.113.10-203.0.113.20"], "avoidBuggyIPs": True}


@pytest.fixture(scope="module")
def door(kube: KubeServer) -> Door:
    """A server with a pool of each kind, a node and many more pools, who then was given a door."""
    made = Door(kube)
    kube.kubectl("create", "namespace", "metallb-system")
    for each in (OFFICE, CROWDED, *(pair for cell in range(CELLS) for pair in rivals(cell))):
        assert "" == made.create(each, dry=False)
    metadata = {"name": "garage"}
    garage = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": metadata, "spec": GARAGE}
    addresses = [{"type": "InternalIP", "address": address} for address in NODE.addresses]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE.node}, "spec": {"podCIDRs": NODE.prefixes}}
    assert 201 == made.ask("POST", METALLB, garage)[0]
    assert 201 == made.ask("POST", "/api/v1/nodes", {**node, "status": {"addresses": addresses}})[0]
    kube.kubectl("apply", "-f", str(PACKAGING / "door.yaml"))
    # each policy is in force a moment after it was written
    for taken in ("192.0.2.200/32", "203.0.113.15/32", "198.51.100.7/32", "10.96.0.0/30"):
        until = time.monotonic() + 60
        while not made.create(pool("early", taken)):
            assert time.monotonic() < until, taken
            time.sleep(0.1)
    return made


def draw(chance: random.Random, cell: int, name: str) -> Pool:
    """Return a pool with a few addresses of a cell."""
    begin = {4: int(IPv4Address("198.18.0.224")) + 512 * cell, 6: int(IPv6Address(f"2001:db8:{cell:x}::ffff:ffe0"))}

    def at(of_family: int, step: int) -> Address:
        return address(begin[of_family] + step, of_family)

    def prefix(of_family: int) -> Prefix:
        length = (32 if of_family == 4 else 128) - chance.randint(0, 5)
        return Prefix(str(ip_network(f"{at(of_family, chance.randrange(WIDTH))}/{length}", strict=False)))

    def between(of_family: int) -> Range:
        first, last = sorted(chance.choices(range(WIDTH), k=2))
        return Range(first=at(of_family, first), last=at(of_family, min(last, first + 20)))

    families = chance.choices((4, 6), k=3)
    prefixes = tuple(prefix(each) for each in families[: chance.randint(0, 2)])
    return Pool(
        name=name,
        prefixes=prefixes,
        ranges=tuple(between(each) for each in families[len(prefixes) : len(prefixes) + chance.randint(1, 2)]),
        exclude=tuple(prefix(each) for each in chance.choices((4, 6), k=chance.randint(0, 4))),
        avoid_end_addresses=chance.random() < 0.3,
    )


def rivals(cell: int) -> tuple[Pool, Pool]:
    """Return two pools of a cell that were there before anybody looked; they may overlap."""
    chance = random.Random(cell)
    return draw(chance, cell, f"one-{cell}"), draw(chance, cell, f"two-{cell}")


def test_pools_are_refused_by_the_rule_of_the_controller(door: Door) -> None:
    outcomes = []
    for cell in range(CELLS):
        chance = random.Random(1000 + cell)
        for _ in range(PAIRS):
            new = draw(chance, cell, "new")
            expected = overlaps(new, rivals(cell))
            said = door.create(new)
            assert bool(expected) == bool(said), (new, rivals(cell), said)
            assert not said or any(f"spec{each.field}: {each}: " in said for each in expected), (said, expected)
            outcomes.append(bool(said))
    assert {True, False} == set(outcomes)
    assert min(outcomes.count(True), outcomes.count(False)) > len(outcomes) / 5


def test_of_a_pool_that_is_changed_what_is_new_counts(door: Door) -> None:
    outcomes = []
    for cell in range(CELLS):
        chance = random.Random(2000 + cell)
        one, two = rivals(cell)
        for _ in range(CHANGES):
            new = msgspec.structs.replace(draw(chance, cell, one.name), avoid_end_addresses=one.avoid_end_addresses)
            added = (addresses(new) - addresses(one)) & addresses(two)
            said = door.replace(new)
            assert bool(added) == bool(said), (one, new, two, said)
            outcomes.append(bool(said))
    assert {True, False} == set(outcomes)


def addresses(of: Pool) -> set[tuple[int, int]]:
    """Return the addresses that a pool gives."""
    found = set()
    for of_family in (4, 6):
        given = blocks(of, of_family)
        numbers = (each for item in given.items for each in range(item.first, item.last + 1))
        found |= {(of_family, each) for each in numbers if each in given}
    return found


@pytest.mark.parametrize(
    "value", ["192.0.2.192/28", "198.51.100.0/24", "2001:db8:fffe::/64", "10.244.0.0/16", "10.96.4.0/24"]
)
def test_field_names_values_and_remedy_are_told(door: Door, value: str) -> None:
    new = pool("new", "192.0.2.64/30", value)
    (found, *_) = overlaps(new, [OFFICE], [*occupied(NODE), SERVICES])
    said = door.create(new)
    assert said.endswith(f"spec.prefixes[1]: {found}: give other addresses, or exclude those"), said


@pytest.mark.parametrize(
    ("name", "spec", "refused"),
    [
        ("new", {"addresses": ["192.0.2.1-192.0.2.9", " 192.0.2.130 - 192.0.2.192"]}, True),
        ("new", {"addresses": ["192.0.2.130-192.0.2.191"]}, False),
        ("new", {"addresses": ["2001:db8:ffff::5:0/112"]}, True),
        ("new", {"addresses": ["203.0.113.0/24"]}, True),
        ("office", {"addresses": ["192.0.2.192/26"]}, True),
        ("office", {"addresses": ["192.0.2.192/28"]}, False),
    ],
)
def test_pools_of_metallb_are_held_to_it(door: Door, name: str, spec: dict[str, Any], refused: bool) -> None:
    written = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": spec}
    status, said = door.ask("POST", f"{METALLB}?dryRun=All", written)
    read = translate_pool(msgspec.convert(written, IPAddressPool))
    garage = translate_pool(msgspec.convert({"metadata": {"name": "garage"}, "spec": GARAGE}, IPAddressPool))
    found = overlaps(read, [OFFICE, CROWDED, garage])
    assert (refused, 422 if refused else 201) == (bool(found), status)
    assert refused == said.endswith(": give other addresses")


def test_a_pool_that_is_metallbs_too_is_no_rival_of_itself(door: Door) -> None:
    assert "" == door.create(pool("garage", "203.0.113.8/29"))
    assert "203.0.113.10-203.0.113.20 of pool garage" in door.create(pool("new", "203.0.113.8/29"))


def test_who_overlaps_already_may_still_be_changed(door: Door) -> None:
    assert overlaps(CROWDED, [OFFICE])
    assert "" == door.change("crowded", draining=True)
    assert "" == door.change("crowded", prefixes=["192.0.2.240/29"])
    assert "" == door.change("crowded", prefixes=["192.0.2.240/28", "192.0.2.0/25"])
    assert "overlaps 192.0.2.128/25 of pool office" in door.change("crowded", prefixes=["192.0.2.224/27"])


@pytest.mark.parametrize(("first", "last"), [("192.0.2.10", "192.0.2.9"), ("2001:db8::1:0", "2001:db8::ffff")])
def test_a_range_that_ends_before_it_begins_is_refused(door: Door, first: str, last: str) -> None:
    ranges = (
        Range(first=Address("192.0.2.7"), last=Address("192.0.2.7")),
        Range(first=Address(first), last=Address(last)),
    )
    assert door.create(pool("new", ranges=ranges)).endswith(
        f"spec.ranges[1]: {first}-{last}: first must not be greater than last"
    )


@pytest.mark.parametrize(
    ("address", "of", "by", "taken"),
    [
        ("192.0.2.192", "office", {}, True),
        ("192.0.2.191", "office", {}, False),
        ("2001:db8:ffff::7", "office", {}, True),
        ("2001:db8:fffe::7", "office", {}, False),
        ("192.0.2.7", "", {}, True),
        ("192.0.2.7", "office", {"mode": "proxied"}, True),
        ("192.0.2.7", "office", {"released": "2026-11-21T00:00:00Z"}, True),
    ],
)
def test_a_claim_by_hand_is_of_its_pool(door: Door, address: str, of: str, by: dict[str, str], taken: bool) -> None:
    owner = {"kind": "Pod", "namespace": "shop", "name": "db-0"}
    spec = {"address": address, "pool": of, "owners": [owner], **by}
    named = {"name": address.replace(":", "-")}
    claim = {"apiVersion": "buoy.dev/v1", "kind": "ServiceIP", "metadata": named, "spec": spec}
    status, said = door.ask("POST", "/apis/buoy.dev/v1/serviceips?dryRun=All", claim)
    assert (201 if taken else 422) == status, said
    told = f"spec.address: {address} is none that pool {of} gives: give another one, or leave spec.pool out"
    assert taken or said.endswith(told)


def test_the_controller_knows_its_pools_before_the_door_does(door: Door) -> None:
    who = {
        "Impersonate-User": "system:serviceaccount:buoy-system:buoy-controller",
        "Impersonate-Group": "system:masters",
    }
    named = {"name": "192.0.2.191"}
    claim = {"apiVersion": "buoy.dev/v1", "kind": "ServiceIP", "metadata": named}
    spec = {"address": "192.0.2.191", "pool": "office"}
    path = "/apis/buoy.dev/v1/serviceips?dryRun=All"
    assert (201, "") == door.ask("POST", path, {**claim, "spec": spec}, **who)
