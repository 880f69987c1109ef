# SPDX-License-Identifier: Apache-2.0
"""What the comparison counts, owns and dares."""

from buoy.model.address import Address, Prefix
from buoy.model.documents import Document, path
from buoy.model.errors import InvalidInput
from buoy.model.network import Network
from buoy.model.pool import Pool, Registry
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.neutron.compare import Difference, compare, owned
from buoy.neutron.reader import Wanted


def snapshot(*documents: Document, broken: str = "") -> Snapshot:
    """A store that holds these documents, and perhaps a broken one."""
    held = {path(document): document for document in documents}
    return Snapshot(Identity("store", 1), held, dict.fromkeys(held, 1), {broken: "odd"} if broken else {})


def test_missing_stale_and_orphan() -> None:
    wanted: Wanted = {path(n): n for n in (Network(id="same"), Network(id="stale", mtu=1400), Network(id="missing"))}
    stored = snapshot(Network(id="same"), Network(id="stale"), Network(id="orphan"), broken="networks/missing")
    expected = Difference(
        frozenset(), frozenset({"networks/stale", "networks/missing"}), frozenset({"networks/orphan"}), 4
    )
    assert expected == compare(stored, wanted)
    lost = Difference(frozenset({"networks/same"}), frozenset(), frozenset(), 0)
    assert lost == compare(snapshot(), {"networks/same": Network(id="same")})


def test_what_cannot_be_translated_is_neither_stale_nor_orphan() -> None:
    wanted: Wanted = {"networks/odd": InvalidInput("mtu", "x", "give a number")}
    assert Difference(frozenset(), frozenset(), frozenset(), 1) == compare(snapshot(Network(id="odd")), wanted)


def test_others_pools_and_service_ips_are_not_ours() -> None:
    prefixes = (Prefix("192.0.2.0/24"),)
    ours, others = (Pool(name=r.value, prefixes=prefixes, registry=r) for r in (Registry.NEUTRON, Registry.STORE))
    claims = [
        ServiceIP(address=Address("192.0.2.1"), pool=ours.name),
        ServiceIP(address=Address("192.0.2.2"), pool=ours.name, mode=Mode.PROXIED),
        ServiceIP(address=Address("192.0.2.3"), pool=others.name),
    ]
    assert {path(ours), path(claims[0])} == owned(snapshot(ours, others, *claims))


def orphans(count: int, stored: int) -> Difference:
    """A difference of orphans alone."""
    return Difference(frozenset(), frozenset({"stale"}), frozenset(map(str, range(count))), stored)


def test_many_orphans_are_kept_until_a_person_confirms() -> None:
    assert [False, False, True] == [d.suspicious for d in (orphans(10, 10), orphans(30, 100), orphans(31, 100))]
    assert frozenset({"stale"}) == orphans(31, 100).repairs
    assert 11 == len(orphans(10, 10).repairs)
