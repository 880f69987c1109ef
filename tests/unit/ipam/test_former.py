# SPDX-License-Identifier: Apache-2.0
"""Who has had an address, or is in use under one, has it again; nobody else has it too soon."""

import msgspec
import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Scope
from buoy.model.address import Address
from buoy.model.pool import Registry
from buoy.model.proxied import Backing, Kind
from buoy.model.refusal import Refusal
from buoy.model.service_ip import Owner, ServiceIP
from tests.unit.ipam.room import (
    NOW,
    SMALL,
    V4,
    addresses,
    asks,
    claim,
    lacking,
    later,
    naming,
    only,
    pool,
    service,
    ways,
)

A7 = Address("198.51.100.7")


class TestFormerAddresses:
    def test_who_comes_back_has_its_address_again_within_the_hold_down_and_with_another_uid(self) -> None:
        gone = claim("198.51.100.7", service(uid="old"), released=later(-1))
        assert ["198.51.100.7 a reclaimed"] == ways(allocate(asks(), Ledger([V4], [gone]), NOW))
        assert ["198.51.100.7 a reclaimed"] == ways(allocate(asks(wanted={4: A7}), Ledger([V4], [gone]), NOW))

    def test_the_latest_comes_first(self) -> None:
        gone = (
            claim("198.51.100.7", service(), released=later(-9)),
            claim("198.51.100.9", service(), released=later(-1)),
            claim("2001:db8::9", service(), released=later(-1)),
        )
        assert ["198.51.100.9 a reclaimed"] == ways(allocate(asks(), Ledger([V4], gone), NOW))

    def test_of_an_openstack_pool_it_is_had_again_only_while_it_is_put_aside(self) -> None:
        neutron = pool(registry=Registry.NEUTRON)
        ledger = Ledger([neutron], [claim("198.51.100.7", service(), released=later(-1))])
        asked = allocate(asks(wanted={4: A7}), ledger, NOW)
        assert ["198.51.100.7: OpenStack has not put it aside for a"] == lacking(asked)
        ledger.put_aside("a", [A7, Address("198.51.100.1")])
        assert ["198.51.100.7 a reclaimed"] == ways(allocate(asks(), ledger, NOW))

    @pytest.mark.parametrize(
        "owner",
        [service("other"), service(namespace="sales"), service(cluster="two"), service(kind="Ingress")],
    )
    def test_nobody_else_has_it_before_the_hold_down_is_over(self, owner: Owner) -> None:
        gone = claim("198.51.100.0", owner, released=later(-300))
        request = asks(wanted={4: gone.address})
        assert ["198.51.100.1 a fresh"] == ways(allocate(asks(), Ledger([V4], [gone]), later(-1)))
        assert [
            f"198.51.100.0: was released by {owner.identity} and is held down until 2026-03-01T12:00:00Z"
        ] == lacking(allocate(request, Ledger([V4], [gone]), later(-1)))
        assert ["198.51.100.0 a fresh"] == ways(allocate(asks(), Ledger([V4], [gone]), NOW))
        freed = allocate(request, Ledger([V4], [gone]), NOW)
        assert (["198.51.100.0 a fresh"], []) == (ways(freed), lacking(freed))

    def test_it_is_not_had_from_a_pool_that_is_closed_or_not_the_one_that_is_named(self) -> None:
        gone = claim("198.51.100.7", service(), released=later(-1))
        for closed in (pool(draining=True), pool(automatic=False)):
            assert isinstance(allocate(asks(), Ledger([closed], [gone]), NOW), Refusal)
        request = asks(choices={4: naming("small")})
        assert ["192.0.2.0 small fresh"] == ways(allocate(request, Ledger([V4, SMALL], [gone]), NOW))

    def test_nobody_has_what_a_service_still_shows_though_its_claim_was_released(self) -> None:
        shown = (Backing(service="sales/shop", kind=Kind.LOAD_BALANCER),)
        gone = claim("198.51.100.0", service(), released=later(-9000), backings=shown)
        assert ["198.51.100.1 a fresh"] == ways(allocate(asks(), Ledger([V4], [gone]), NOW))
        request = asks("other", wanted={4: gone.address})
        assert "198.51.100.0: belongs to Service dev/web" == only(request, V4, claims=(gone,))
        own = msgspec.structs.replace(gone, backings=(Backing(service="dev/other", kind=Kind.LOAD_BALANCER),))
        said = "198.51.100.0: was released by Service dev/web and is held down until it is out of use"
        assert said == only(request, V4, claims=(own,))


class TestShownAddresses:
    def test_what_the_status_shows_and_nobody_claims_is_adopted(self) -> None:
        shown = claim("198.51.100.7", pool="", backings=(Backing(service="dev/web", kind=Kind.LOAD_BALANCER),))
        request = asks(shown=(A7,))
        for ledger in (Ledger([V4]), Ledger([V4], [shown]), Ledger([pool(draining=True)]), Ledger([pool(quota=0)])):
            assert ["198.51.100.7 a adopted"] == ways(allocate(request, ledger, NOW))

    def test_what_somebody_else_shows_is_taken(self) -> None:
        shown = claim("198.51.100.7", pool="", backings=(Backing(service="dev/other", kind=Kind.EXTERNAL),))
        assert ["198.51.100.0 a fresh"] == ways(allocate(asks(shown=(A7,)), Ledger([V4], [shown]), NOW))
        said = "198.51.100.7: belongs to Service dev/other, which shows it without a claim"
        assert said == only(asks(wanted={4: A7}), V4, claims=(shown,))
        ingress = msgspec.structs.replace(asks(), owner=service("other", kind="Ingress"), wanted={4: A7})
        assert said == only(ingress, V4, claims=(shown,))

    def test_openstacks_and_cluster_ips_are_taken(self) -> None:
        floating = ServiceIP(address=A7, project="p1")
        assert "198.51.100.7: belongs to project p1 of OpenStack" == only(asks(wanted={4: A7}), V4, claims=(floating,))
        cluster_ip = ServiceIP(address=A7, backings=(Backing(service="dev/web", kind=Kind.CLUSTER),))
        assert only(asks(wanted={4: A7}), V4, claims=(cluster_ip,)).startswith("198.51.100.7: belongs to")
        assert "198.51.100.7: belongs to a service IP without owner" == only(
            asks(wanted={4: A7}), V4, claims=(ServiceIP(address=A7),)
        )

    def test_it_is_not_adopted_against_the_pool_the_object_names_or_from_a_pool_not_for_it(self) -> None:
        request = asks(shown=(A7,), choices={4: naming("small")})
        assert ["192.0.2.0 small fresh"] == ways(allocate(request, Ledger([V4, SMALL]), NOW))
        inherited = asks(shown=(A7,), choices={4: naming("small", scope=Scope.NAMESPACE)})
        assert ["198.51.100.7 a adopted"] == ways(allocate(inherited, Ledger([V4, SMALL]), NOW))
        fenced = pool(namespaces=("sales",))
        assert ["192.0.2.0 small fresh"] == ways(allocate(asks(shown=(A7,)), Ledger([fenced, SMALL]), NOW))

    def test_of_several_it_has_the_one_in_use_stays(self) -> None:
        held = (claim("198.51.100.1", service()), claim("198.51.100.7", service()))
        decision = allocate(asks(shown=(A7,)), Ledger([V4], held), NOW)
        assert isinstance(decision, Allocation)
        assert (["198.51.100.7"], ("198.51.100.1",)) == (addresses(decision), decision.surplus)
        assert ["198.51.100.1"] == addresses(allocate(asks(), Ledger([V4], held), NOW))
