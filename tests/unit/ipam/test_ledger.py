# SPDX-License-Identifier: Apache-2.0
"""The ledger: what is free, what is taken, what is held down; and that it forgets nothing and invents nothing."""

import datetime as dt

import pytest

from buoy.ipam.blocks import Block, Blocks, blocks
from buoy.ipam.ledger import Ledger, Use, put_aside
from buoy.model.address import Address, Prefix
from buoy.model.pool import Pool, Range, Registry
from buoy.model.service_ip import ServiceIP
from tests.unit.ipam.room import NOW, SMALL, V4, V6, claim, later, pool, service


def ranging(first: str, last: str) -> Range:
    return Range(first=Address(first), last=Address(last))


_HOST = {last: Prefix(f"198.51.100.{last}/32") for last in (6, 7, 9, 10)}


class TestAddressesOfAPool:
    @pytest.mark.parametrize(
        ("given", "size"),
        [
            (V4, 256),
            (V6, 2**64),
            (pool(V6, prefixes=(Prefix("2001:db8::/32"),)), 2**96),
            (pool(prefixes=(Prefix("198.51.100.7/32"),)), 1),
            (pool(ranges=(ranging("198.51.100.200", "198.51.101.9"),)), 266),
            (pool(exclude=(Prefix("198.51.100.0/25"), Prefix("198.51.100.128/26"), Prefix("192.0.2.0/24"))), 64),
            (pool(exclude=(Prefix("198.51.100.64/26"), Prefix("2001:db8::/32"))), 192),
            (pool(exclude=(Prefix("198.51.0.0/16"),)), 0),
            (pool(prefixes=(), ranges=(ranging("198.51.100.7", "198.51.100.9"),), exclude=(_HOST[7],)), 2),
            (pool(prefixes=(), ranges=(ranging("198.51.100.7", "198.51.100.9"),), exclude=(_HOST[9],)), 2),
            (pool(prefixes=(), ranges=(ranging("198.51.100.7", "198.51.100.9"),), exclude=(_HOST[6], _HOST[10])), 3),
            (pool(avoid_end_addresses=True), 254),
            (pool(avoid_end_addresses=True, prefixes=(Prefix("10.0.0.0/8"),)), 2**24 - 2 * 2**16),
            (pool(avoid_end_addresses=True, prefixes=(), ranges=(ranging("198.51.100.255", "198.51.101.0"),)), 0),
            (pool(avoid_end_addresses=True, prefixes=(), ranges=(ranging("198.51.100.1", "198.51.100.254"),)), 254),
        ],
    )
    def test_there_are_so_many(self, given: Pool, size: int) -> None:
        assert size == sum(blocks(given, of_family).size for of_family in (4, 6))

    def test_ends_that_are_avoided_are_those_of_ipv4(self) -> None:
        assert 256 == blocks(pool(avoid_end_addresses=True, prefixes=(Prefix("2001:db8::/120"),)), 6).size

    def test_what_touches_or_overlaps_is_one_block(self) -> None:
        parts = (ranging("198.51.100.4", "198.51.100.9"), ranging("198.51.100.9", "198.51.100.12"))
        joined = blocks(pool(prefixes=(Prefix("198.51.100.0/30"),), ranges=parts), 4)
        base = 0xC6336400
        assert (Block(base, base + 12),) == joined.items

    def test_membership_ends_where_a_block_does(self) -> None:
        two = Blocks((Block(10, 12), Block(20, 22)))
        assert [10, 11, 12, 20, 21, 22] == [number for number in range(30) if number in two]
        assert [1, 2] == [number for number in (0, 1, 2, 255) if number in Blocks((Block(0, 255),), avoiding=True)]

    def test_the_lowest_gap_is_found_wherever_it_is(self) -> None:
        two = Blocks((Block(10, 12), Block(20, 22)))
        everything = [10, 11, 12, 20, 21, 22]
        for missing in everything:
            taken = [1, 9, *(number for number in everything if number != missing), 23, 40]
            assert missing == two.lowest(taken, 0)
            assert 5 == two.count(taken)
        assert None is two.lowest(everything, 0)
        assert 21 == two.lowest([10], 21)
        assert None is two.lowest([], 23)


class TestLowest:
    def test_exclusions_and_avoided_ends_are_never_given(self) -> None:
        picky = pool(avoid_end_addresses=True, exclude=(Prefix("198.51.100.0/30"), Prefix("198.51.100.5/32")))
        ledger = Ledger([picky])
        assert ["198.51.100.4", "198.51.100.6"] == [take(ledger, picky) for _ in range(2)]
        ends = pool(avoid_end_addresses=True, prefixes=(), ranges=(ranging("198.51.100.254", "198.51.101.1"),))
        ledger = Ledger([ends])
        assert ["198.51.100.254", "198.51.101.1", None] == [take(ledger, ends) for _ in range(3)]
        assert Use(2, 2, 0, 0, None) == ledger.use(ends, 4, NOW)

    def test_a_huge_ipv6_pool_is_not_counted_out(self) -> None:
        huge = pool(V6, prefixes=(Prefix("2001:db8::/32"),), exclude=(Prefix("2001:db8::/33"),))
        ledger = Ledger([huge])
        assert ["2001:db8:8000::", "2001:db8:8000::1"] == [take(ledger, huge) for _ in range(2)]
        assert Use(2**95, 2, 0, 2**95 - 2, None) == ledger.use(huge, 6, NOW)

    def test_what_becomes_free_below_is_given_first(self) -> None:
        ledger = Ledger([V4])
        given = [take(ledger, V4) for _ in range(5)]
        ledger.remove(Address("198.51.100.2"))
        assert "198.51.100.4" == given[-1]
        assert ["198.51.100.2", "198.51.100.5"] == [take(ledger, V4) for _ in range(2)]
        ledger.remove(Address("203.0.113.9"))
        assert "198.51.100.6" == take(ledger, V4)

    def test_addresses_to_be_spared_are_passed_over(self) -> None:
        spared = [Address("198.51.100.0"), Address("198.51.100.1")]
        assert "198.51.100.2" == Ledger([V4]).lowest(V4, 4, NOW, spared)
        assert None is Ledger([SMALL]).lowest(SMALL, 4, NOW, [Address("192.0.2.0"), Address("192.0.2.1")])

    def test_a_hold_down_ends_when_its_pool_says(self) -> None:
        gone = claim("198.51.100.0", service(), released=NOW)
        for hold_down in (0.0, 60.0, 300.0):
            slow = pool(hold_down=hold_down)
            ledger = Ledger([slow], [gone])
            assert "198.51.100.1" == ledger.lowest(slow, 4, later(hold_down - 1))
            assert "198.51.100.0" == ledger.lowest(slow, 4, later(hold_down))

    def test_so_it_does_when_the_pool_changes_its_mind_or_is_gone(self) -> None:
        gone = claim("198.51.100.0", service(), released=NOW)
        ledger = Ledger([V4], [gone])
        quick = pool(hold_down=10.0)
        assert ["198.51.100.1", "198.51.100.1"] == [ledger.lowest(V4, 4, later(at)) for at in (0, 20)]
        ledger.put_pool(quick)
        assert "198.51.100.0" == ledger.lowest(quick, 4, later(20))
        ledger.remove_pool("a")
        ledger.remove_pool("a")
        assert ["198.51.100.1", "198.51.100.0"] == [ledger.lowest(V4, 4, later(at)) for at in (20, 300)]

    def test_a_clock_that_goes_back_changes_nothing_but_the_time(self) -> None:
        gone = [claim(f"198.51.100.{last}", service(), released=later(60 * last)) for last in range(3)]
        moments = (0, 400, 1000, 299, 300, 359, 10_000, 361, 0)
        one = Ledger([V4], gone)
        found = [one.lowest(V4, 4, later(at)) for at in moments]
        assert [Ledger([V4], gone).lowest(V4, 4, later(at)) for at in moments] == found

    def test_who_takes_it_back_ends_the_hold_down(self) -> None:
        ledger = Ledger([V4])
        ledger.lowest(V4, 4, NOW)
        ledger.put(claim("198.51.100.0", service(), released=NOW))
        assert Use(256, 0, 1, 255, later(300)) == ledger.use(V4, 4, NOW)
        ledger.put(claim("198.51.100.0", service()))
        assert Use(256, 1, 0, 255, None) == ledger.use(V4, 4, NOW)
        assert "198.51.100.1" == ledger.lowest(V4, 4, later(1000))

    def test_one_released_anew_is_held_down_anew(self) -> None:
        ledger = Ledger([V4])
        ledger.lowest(V4, 4, NOW)
        for at in (0, 200):
            ledger.put(claim("198.51.100.0", service(), released=later(at)))
        assert ["198.51.100.1", "198.51.100.0"] == [ledger.lowest(V4, 4, later(at)) for at in (300, 500)]

    def test_one_whose_hold_down_is_over_when_it_is_heard_of_is_free(self) -> None:
        ledger = Ledger([V4])
        ledger.lowest(V4, 4, NOW)
        ledger.put(claim("198.51.100.0", service(), released=later(-300)))
        assert "198.51.100.0" == ledger.lowest(V4, 4, NOW)


class TestUse:
    def test_a_pool_shows_what_is_live_held_and_free(self) -> None:
        claims = (
            claim("198.51.100.1", service()),
            claim("198.51.100.2", service(), released=later(-100)),
            claim("198.51.100.3", service(), released=later(-50)),
            claim("198.51.100.4", service(), released=later(-300)),
            claim("203.0.113.9", service()),
        )
        assert Use(256, 1, 2, 253, later(200)) == Ledger([V4], claims).use(V4, 4, NOW)

    def test_of_an_openstack_pool_what_was_put_aside_is_free(self) -> None:
        neutron = pool(registry=Registry.NEUTRON)
        ledger = Ledger([neutron], [claim("198.51.100.1", service()), ServiceIP(address=Address("198.51.100.9"))])
        ledger.put_aside("a", [Address("198.51.100.1"), Address("198.51.100.2")])
        assert Use(256, 2, 0, 1, None) == ledger.use(neutron, 4, NOW)

    def test_what_has_an_id_elsewhere_and_nobody_here_is_put_aside(self) -> None:
        claims = (
            claim("198.51.100.1", id="port", released=NOW),
            claim("198.51.100.2", service(), id="port", released=NOW),
            claim("198.51.100.3", service(), id="port"),
            claim("198.51.100.4", released=NOW),
        )
        assert {"a": {Address("198.51.100.1"), Address("198.51.100.2")}} == put_aside(claims)

    def test_what_nobody_ever_had_is_free_at_once(self) -> None:
        neutron = pool(registry=Registry.NEUTRON)
        ledger = Ledger([neutron], [claim("198.51.100.1", id="port", released=NOW)])
        ledger.put_aside("a", [Address("198.51.100.1")])
        assert Use(256, 0, 0, 1, None) == ledger.use(neutron, 4, NOW)

    def test_namespaces_are_counted_by_pool_and_cluster_and_a_shared_address_once(self) -> None:
        claims = (
            claim("198.51.100.1", service("one"), service("two")),
            claim("198.51.100.2", service("one"), service("one", "sales")),
            claim("198.51.100.3", service("one", cluster="c2")),
            claim("198.51.100.4", service("one"), released=NOW),
        )
        ledger = Ledger([V4], claims)
        assert {("a", "", "dev"): 2, ("a", "", "sales"): 1, ("a", "c2", "dev"): 1} == ledger.holdings.counts()
        for each in claims:
            ledger.remove(each.address)
        assert {} == ledger.holdings.counts()
        assert {} == ledger.holdings.claims


def test_what_an_object_has_comes_by_address() -> None:
    texts = ("192.0.2.9", "198.51.100.10", "2001:db8::ffff", "2001:db8::1:0:0:0", "2001:db8:0:2::")
    ledger = Ledger([], [claim(text, service()) for text in reversed(texts)])
    assert texts == tuple(each.address for each in ledger.holdings.held(service()))


def test_a_pool_that_is_put_again_is_no_news() -> None:
    ledger = Ledger([V4])
    before = ledger.blocks(V4, 4)
    ledger.put_pool(pool(V4))
    assert before is ledger.blocks(V4, 4)


def test_pools_of_an_address_come_by_priority() -> None:
    ledger = Ledger([V4, pool(name="b"), pool(name="c", priority=1), SMALL])
    assert ["c", "a", "b"] == [each.name for each in ledger.pools_with(Address("198.51.100.1"))]
    assert {"a", "b", "c", "small"} == set(ledger.pools)


def take(ledger: Ledger, of: Pool, now: dt.datetime = NOW) -> Address | None:
    """Take the lowest address of a pool."""
    found = ledger.lowest(of, 6 if of.name == V6.name else 4, now)
    if found is not None:
        ledger.put(claim(found, service()))
    return found
