# SPDX-License-Identifier: Apache-2.0
"""Who may have an address together with whom."""

import msgspec
import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.claim import claimed, without
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Given, Request, Way, backends
from buoy.model.address import Address
from buoy.model.proxied import Backing, Kind, ProxyPort
from buoy.model.service_ip import Attachment, Endpoint, Mode, Owner, ServiceIP
from tests.unit.ipam.room import (
    NOW,
    SMALL,
    V4,
    V6,
    asks,
    carry_out,
    claim,
    lacking,
    later,
    naming,
    pool,
    service,
    ways,
)

HTTP, HTTPS = (ProxyPort("tcp", 80),), (ProxyPort("tcp", 443),)
A0 = Address("198.51.100.0")


def sharer(name: str, *ports: ProxyPort, **fields: object) -> Request:
    return asks(name, sharing="k", ports=ports, **fields)


def first(**fields: object) -> Ledger:
    """Return a ledger in which Service dev/one has 198.51.100.0:80 and lets others share it."""
    ledger = Ledger([V4, V6])
    carry_out(sharer("one", *HTTP, **fields), ledger)
    return ledger


def test_who_uses_the_same_key_and_other_ports_comes_to_the_same_address() -> None:
    ledger = first()
    assert ["198.51.100.0 a shared"] == ways(allocate(sharer("two", *HTTPS), ledger, NOW))
    assert ["198.51.100.0"] == carry_out(sharer("two", *HTTPS), ledger)
    both = ledger.claim(A0)
    assert both is not None
    assert [("one", ("tcp/80",)), ("two", ("tcp/443",))] == [(owner.name, owner.ports) for owner in both.owners]


def test_the_same_port_of_another_protocol_is_another_port() -> None:
    assert ["198.51.100.0 a shared"] == ways(allocate(sharer("two", ProxyPort("udp", 80)), first(), NOW))


def test_each_family_is_shared_alike() -> None:
    ledger = first(families=(4, 6))
    given = ways(allocate(sharer("two", *HTTPS, families=(4, 6)), ledger, NOW))
    assert ["198.51.100.0 a shared", "2001:db8:: six shared"] == given


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ports": HTTP}, "198.51.100.0: port tcp/80 is taken by Service dev/one"),
        ({"ports": ()}, "198.51.100.0: port of every number is taken by Service dev/one"),
        ({"sharing": ""}, "198.51.100.0: belongs to Service dev/one"),
        ({"sharing": "other"}, "198.51.100.0: is shared under another key, by Service dev/one"),
        ({"owner": service("two", "sales")}, "198.51.100.0: is shared within another namespace, by Service dev/one"),
        ({"owner": service("two", cluster="c2")}, "198.51.100.0: belongs to Service dev/one"),
        ({"owner": service("two", kind="Pod")}, "198.51.100.0: belongs to Service dev/one"),
        (
            {"backends": "dev: app=web"},
            "198.51.100.0: Service dev/one has another traffic policy, or with policy Local other pods",
        ),
    ],
)
def test_who_may_not_share_gets_another_address_or_is_told_why_not_this_one(
    changed: dict[str, object], said: str
) -> None:
    request = msgspec.structs.replace(sharer("two", *HTTPS), **changed)
    assert ["198.51.100.1 a fresh"] == ways(allocate(request, first(), NOW))
    wanting = msgspec.structs.replace(request, wanted={4: A0})
    assert [said] == lacking(allocate(wanting, first(), NOW))


def test_namespaces_share_where_the_pool_says_so() -> None:
    ledger = Ledger([pool(share_across_namespaces=True)])
    carry_out(sharer("one", *HTTP), ledger)
    assert ["198.51.100.0"] == carry_out(sharer("two", *HTTPS, namespace="sales"), ledger)


def test_local_services_share_with_the_same_pods_only() -> None:
    owner = service("one")
    local = backends(owner, {"app": "web", "tier": "x"}, local=True)
    assert "dev: app=web,tier=x" == local
    assert "" == backends(owner, {"app": "web"}, local=False)
    assert "Service dev/one" == backends(owner, {}, local=True)
    ledger = first(backends=local)
    assert ["198.51.100.0 a shared"] == ways(allocate(sharer("two", *HTTPS, backends=local), ledger, NOW))
    assert ["198.51.100.1 a fresh"] == ways(allocate(sharer("two", *HTTPS), ledger, NOW))


def test_an_address_is_shared_only_within_the_pool_that_is_named() -> None:
    ledger = first()
    ledger.put_pool(SMALL)
    request = sharer("two", *HTTPS, choices={4: naming("small")})
    assert ["192.0.2.0 small fresh"] == ways(allocate(request, ledger, NOW))


def test_who_showed_it_with_others_before_anybody_claimed_it_keeps_sharing_it() -> None:
    shown_by = tuple(Backing(service=f"dev/{name}", kind=Kind.LOAD_BALANCER) for name in ("one", "two"))
    unclaimed = ServiceIP(address=A0, backings=shown_by)
    ledger = Ledger([V4], [unclaimed])
    assert ["198.51.100.1 a fresh"] == ways(allocate(asks("one", shown=(A0,)), ledger, NOW))
    assert ["198.51.100.0 a adopted"] == ways(allocate(sharer("one", *HTTP, shown=(A0,)), ledger, NOW))
    carry_out(sharer("one", *HTTP, shown=(A0,)), ledger)
    assert ["198.51.100.0 a shared"] == ways(allocate(sharer("two", *HTTPS, shown=(A0,)), ledger, NOW))
    assert ["198.51.100.1 a fresh"] == ways(allocate(sharer("two", *HTTP, shown=(A0,)), ledger, NOW))


def test_of_several_shared_addresses_the_lowest_that_fits_is_taken() -> None:
    ledger = first()
    carry_out(sharer("two", *HTTP), ledger)
    assert ["198.51.100.1"] == carry_out(sharer("two", *HTTP), ledger)
    assert ["198.51.100.0 a shared"] == ways(allocate(sharer("three", *HTTPS), ledger, NOW))
    carry_out(sharer("three", *HTTPS), ledger)
    assert ["198.51.100.1 a shared"] == ways(allocate(sharer("four", *HTTPS), ledger, NOW))


class TestWhoChangesWhileItShares:
    def both(self) -> Ledger:
        ledger = first()
        carry_out(sharer("two", *HTTPS), ledger)
        return ledger

    def test_keeps_the_address_and_is_told_what_collides(self) -> None:
        ledger = self.both()
        request = sharer("two", *HTTPS, *HTTP)
        decision = allocate(request, ledger, NOW)
        assert ["198.51.100.0 a kept"] == ways(decision)
        assert ["198.51.100.0: port tcp/80 is taken by Service dev/one"] == lacking(decision)
        before = ledger.claim(A0)
        assert before == claimed(request, Given(A0, "a", Way.KEPT), before)

    def test_has_its_new_ports_written_where_nobody_has_them(self) -> None:
        ledger = self.both()
        wider = sharer("two", *HTTPS, ProxyPort("tcp", 8443))
        assert [] == lacking(allocate(wider, ledger, NOW))
        written = claimed(wider, Given(A0, "a", Way.KEPT), ledger.claim(A0))
        assert [("tcp/80",), ("tcp/443", "tcp/8443")] == [owner.ports for owner in written.owners]

    def test_cannot_take_the_key_away_from_the_others(self) -> None:
        ledger = self.both()
        alone = asks("two", ports=HTTPS)
        assert ["198.51.100.0: belongs to Service dev/one"] == lacking(allocate(alone, ledger, NOW))
        before = ledger.claim(A0)
        assert before == claimed(alone, Given(A0, "a", Way.KEPT), before)

    def test_can_when_it_is_the_last(self) -> None:
        ledger = first()
        written = claimed(asks("one", ports=HTTP), Given(A0, "a", Way.KEPT), ledger.claim(A0))
        assert ("", ()) == (written.sharing, written.owners[0].ports)


class TestClaims:
    def test_a_new_one_names_its_owner_and_no_ports_that_nobody_shares(self) -> None:
        request = asks(ports=HTTP, backends="dev: app=web")
        expected = ServiceIP(address=A0, mode=Mode.PROXIED, pool="a", owners=(service(),))
        assert expected == claimed(request, Given(A0, "a", Way.FRESH), None)

    def test_an_unchanged_one_needs_no_writing_and_another_uid_does(self) -> None:
        standing = claim("198.51.100.0", service(), id="port-1", mode=Mode.PROXIED)
        assert standing == claimed(asks(), Given(A0, "a", Way.KEPT), standing)
        reborn = claimed(asks(owner=service(uid="2")), Given(A0, "a", Way.KEPT), standing)
        assert ("2", "port-1") == (reborn.owners[0].uid, reborn.id)

    def test_what_it_led_to_goes_with_who_had_it(self) -> None:
        end = Endpoint(workload="dev/db-0", target=Address("192.0.2.1"), node="node-1", attached=Attachment.HOST)
        gone = claim("198.51.100.0", Owner(kind="Pod", namespace="dev", name="db-0"), released=NOW, endpoints=(end,))
        expected = ServiceIP(address=A0, mode=Mode.PROXIED, pool="a", owners=(service(),))
        assert expected == claimed(asks(), Given(A0, "a", Way.FRESH), gone)

    def test_a_released_one_is_its_new_owners_alone(self) -> None:
        gone = claim("198.51.100.0", service("one", ports=("tcp/80",)), released=NOW, sharing="old", pool="b")
        taken = claimed(sharer("two", *HTTP), Given(A0, "a", Way.FRESH), gone)
        assert (("two",), "k", None, "a") == (
            tuple(owner.name for owner in taken.owners),
            taken.sharing,
            taken.released,
            taken.pool,
        )

    def test_who_leaves_is_out_and_the_last_stays_named(self) -> None:
        both = claim("198.51.100.0", service("one"), service("two"))
        one = without(both, [service("two", uid="9").identity], NOW)
        assert claim("198.51.100.0", service("one")) == one
        none = without(one, [service("one").identity], NOW)
        assert claim("198.51.100.0", service("one"), released=NOW) == none
        assert none == without(none, [service("one").identity], later(60))
        assert one == without(one, [service("two").identity], NOW)
