# SPDX-License-Identifier: Apache-2.0
"""An address that an object asks for, and addresses it names itself."""

import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation, Scope
from buoy.model.address import Address, Prefix
from buoy.model.pool import Registry
from tests.unit.ipam.room import (
    NOW,
    SMALL,
    V4,
    V6,
    addresses,
    asks,
    carry_out,
    causes,
    claim,
    lacking,
    naming,
    only,
    pool,
    service,
    ways,
)

A7 = Address("198.51.100.7")


class TestWantedAddresses:
    def test_an_address_that_is_asked_for_is_given(self) -> None:
        assert ["198.51.100.7 a fresh"] == ways(allocate(asks(wanted={4: A7}), Ledger([V4]), NOW))

    def test_also_of_a_pool_that_must_be_named_but_not_of_one_that_is_closed(self) -> None:
        assert [A7] == addresses(allocate(asks(wanted={4: A7}), Ledger([pool(automatic=False)]), NOW))
        assert "a: draining, it gives no new addresses" == only(asks(wanted={4: A7}), pool(draining=True))
        assert "a: not for namespace dev" == only(asks(wanted={4: A7}), pool(namespaces=("sales",)))

    def test_it_moves_who_has_another(self) -> None:
        ledger = Ledger([V4])
        carry_out(asks(), ledger)
        moved = allocate(asks(wanted={4: A7}), ledger, NOW)
        assert isinstance(moved, Allocation)
        assert (["198.51.100.7 a fresh"], ("198.51.100.0",)) == (ways(moved), moved.surplus)

    def test_who_cannot_have_it_keeps_what_it_has(self) -> None:
        ledger = Ledger([V4], [claim("198.51.100.7", service("other"))])
        assert "198.51.100.7: belongs to Service dev/other" == str(
            next(iter(causes(allocate(asks(wanted={4: A7}), ledger, NOW))))
        )
        carry_out(asks(), ledger)
        stays = allocate(asks(wanted={4: A7}), ledger, NOW)
        assert ["198.51.100.0 a kept"] == ways(stays)
        assert ["198.51.100.7: belongs to Service dev/other"] == lacking(stays)

    def test_it_stays_when_its_pool_closes_or_goes(self) -> None:
        held = claim("198.51.100.7", service())
        for pools in ([pool(draining=True)], [pool(exclude=(Prefix("198.51.100.0/24"),))], []):
            assert ["198.51.100.7 a kept"] == ways(allocate(asks(wanted={4: A7}), Ledger(pools, [held]), NOW))
            assert ["198.51.100.7 a kept"] == ways(allocate(asks(), Ledger(pools, [held]), NOW))

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("203.0.113.1", "203.0.113.1: not in any pool"),
            ("198.51.100.9", "198.51.100.9: left out of a, which excludes it or avoids such ends"),
            ("198.51.100.0", "198.51.100.0: left out of a, which excludes it or avoids such ends"),
            ("198.51.100.255", "198.51.100.255: left out of a, which excludes it or avoids such ends"),
        ],
    )
    def test_what_no_pool_gives_is_refused(self, address: str, said: str) -> None:
        given = pool(exclude=(Prefix("198.51.100.9/32"),), avoid_end_addresses=True)
        assert said == only(asks(wanted={4: Address(address)}), given)

    def test_it_must_be_of_the_pool_that_is_named(self) -> None:
        request = asks(wanted={4: A7}, choices={4: naming("small")})
        assert "198.51.100.7: not in small, which annotation buoy.dev/pool names" == only(request, V4, SMALL)
        assert [
            "small: there is no such pool; annotation buoy.dev/pool names it",
            "198.51.100.7: not in small, which annotation buoy.dev/pool names",
        ] == lacking(allocate(request, Ledger([V4]), NOW))

    def test_who_has_it_and_then_names_another_pool_is_told_and_keeps_it(self) -> None:
        request = asks(wanted={4: A7}, choices={4: naming("small")})
        stays = allocate(request, Ledger([V4, SMALL], [claim("198.51.100.7", service())]), NOW)
        assert ["198.51.100.7 a kept"] == ways(stays)
        assert ["198.51.100.7: not in small, which annotation buoy.dev/pool names"] == lacking(stays)
        moved = claim("198.51.100.7", service(), pool="small")
        assert [] == lacking(allocate(request, Ledger([V4, SMALL], [moved]), NOW))

    def test_it_needs_not_be_of_the_pool_of_the_namespace_or_cluster(self) -> None:
        for scope in (Scope.NAMESPACE, Scope.GLOBAL):
            request = asks(wanted={4: A7}, choices={4: naming("small", scope=scope)})
            assert ["198.51.100.7 a fresh"] == ways(allocate(request, Ledger([V4, SMALL]), NOW))

    def test_it_must_be_of_a_family_that_is_asked_for(self) -> None:
        request = asks(wanted={6: Address("2001:db8::7")})
        assert "2001:db8::7: is IPv6, which is not among the families of Service dev/web" == only(request, V4, V6)

    def test_an_openstack_pool_gives_what_was_put_aside_and_nothing_else(self) -> None:
        ledger = Ledger([pool(registry=Registry.NEUTRON)])
        refused = allocate(asks(wanted={4: A7}), ledger, NOW)
        assert ["198.51.100.7: OpenStack has not put it aside for a"] == lacking(refused)
        ledger.put_aside("a", [A7, Address("198.51.100.40"), Address("2001:db8::1"), Address("192.0.2.1")])
        assert ["198.51.100.7"] == carry_out(asks(wanted={4: A7}), ledger)
        assert ["198.51.100.40"] == carry_out(asks("other"), ledger)

    def test_two_pools_that_overlap_each_say_why(self) -> None:
        pools = (pool(namespaces=("sales",)), pool(name="b", draining=True))
        assert ["a: not for namespace dev", "b: draining, it gives no new addresses"] == lacking(
            allocate(asks(wanted={4: A7}), Ledger(pools), NOW)
        )
        assert ["198.51.100.7 b fresh"] == ways(allocate(asks(wanted={4: A7}), Ledger((pools[0], pool(name="b"))), NOW))


class TestExternalAddresses:
    def test_those_in_a_pool_are_claimed_besides_an_address_of_the_pool(self) -> None:
        ledger = Ledger([V4])
        request = asks(externals=(Address("198.51.100.0"), Address("203.0.113.9"), Address("198.51.100.0")))
        assert ["198.51.100.1"] == carry_out(request, ledger)
        decision = allocate(request, ledger, NOW)
        assert isinstance(decision, Allocation)
        assert (("198.51.100.0",), (), ()) == (
            tuple(given.address for given in decision.externals),
            decision.lacking,
            decision.surplus,
        )

    def test_one_that_is_somebody_elses_is_told_and_takes_nothing_away(self) -> None:
        ledger = Ledger([V4], [claim("198.51.100.7", service("other"))])
        decision = allocate(asks(externals=(A7,)), ledger, NOW)
        assert (["198.51.100.0"], ["198.51.100.7: belongs to Service dev/other"]) == (
            addresses(decision),
            lacking(decision),
        )

    def test_one_may_be_the_address_that_is_asked_for(self) -> None:
        decision = allocate(asks(wanted={4: A7}, externals=(A7,)), Ledger([V4]), NOW)
        assert isinstance(decision, Allocation)
        assert decision.addresses == decision.externals

    def test_one_that_is_no_longer_named_goes_and_the_other_stays(self) -> None:
        held = (claim("198.51.100.1", service()), claim("198.51.100.7", service()))
        decision = allocate(asks(shown=(A7,)), Ledger([V4], held), NOW)
        assert isinstance(decision, Allocation)
        assert ("198.51.100.1",) == decision.surplus
