# SPDX-License-Identifier: Apache-2.0
"""Claims whose owners die, come back, or are never asked for again."""

import pytest

from buoy.ipam.ledger import Ledger
from buoy.ipam.life import Care, Census, Living, care, outside
from buoy.model.address import Address, Prefix
from buoy.model.proxied import Backing, Kind
from buoy.model.service_ip import Owner, ServiceIP
from tests.unit.ipam.room import NOW, V4, claim, later, pool, service

A1 = Address("198.51.100.1")
WEB = claim("198.51.100.1", service())


def census(*living: Owner, shown: frozenset[Address] = frozenset({A1})) -> Census:
    return Census("", frozenset({"Service"}), {owner.identity: Living(owner.uid, shown) for owner in living})


def test_a_claim_whose_owner_lives_needs_nothing() -> None:
    assert Care((), (), ()) == care(Ledger([V4], [WEB]), census(service()), NOW)


def test_a_claim_whose_owner_is_gone_is_released_and_still_names_it() -> None:
    released = claim("198.51.100.1", service(), released=NOW)
    assert Care(((WEB, released),), (), ()) == care(Ledger([V4], [WEB]), census(), NOW)


def test_of_those_who_share_only_the_one_that_is_gone_leaves() -> None:
    both = claim("198.51.100.1", service(), service("two"))
    assert ((both, WEB),) == care(Ledger([V4], [both]), census(service()), NOW).writes


@pytest.mark.parametrize("owner", [service(cluster="c2"), service(kind="Pod")])
def test_who_was_not_listed_is_not_gone(owner: Owner) -> None:
    assert () == care(Ledger([V4], [claim("198.51.100.1", owner)]), census(), NOW).writes


def test_who_was_made_again_while_nobody_looked_has_its_claim_in_its_new_life() -> None:
    reborn = claim("198.51.100.1", service(uid="2"))
    assert ((WEB, reborn),) == care(Ledger([V4], [WEB]), census(service(uid="2")), NOW).writes


def test_what_names_no_owner_is_nobodys_to_release() -> None:
    floating = ServiceIP(address=A1, project="p")
    assert Care((), (), ()) == care(Ledger([V4], [floating]), census(), later(1e7))


def test_a_status_that_shows_something_else_is_looked_at_again() -> None:
    ledger = Ledger([V4], [WEB])
    for shown in (frozenset[Address](), frozenset({A1, Address("198.51.100.2")})):
        assert (service().identity,) == care(ledger, census(service(), shown=shown), NOW).unlike


@pytest.mark.parametrize(
    ("hold_down", "remember", "purged_at"),
    [(300.0, 86_400.0, 86_400), (300.0, 0.0, 300), (0.0, 0.0, 0)],
)
def test_a_released_claim_is_purged_when_neither_hold_down_nor_memory_needs_it(
    hold_down: float, remember: float, purged_at: int
) -> None:
    gone = claim("198.51.100.1", service(), released=NOW)
    ledger = Ledger([pool(hold_down=hold_down, remember=remember)], [gone])
    assert Care((), (), ()) == care(ledger, census(), later(purged_at - 1))
    assert Care((), (gone,), ()) == care(ledger, census(), later(purged_at))


def test_what_is_put_aside_is_not_purged_before_it_is_let_go() -> None:
    aside = claim("198.51.100.1", id="port", released=NOW)
    gone = claim("198.51.100.2", released=NOW)
    assert (gone,) == care(Ledger([V4], [aside, gone]), census(), later(86_400)).purges


def test_one_without_its_pool_is_purged_after_a_day() -> None:
    gone = claim("198.51.100.1", service(), released=NOW)
    assert () == care(Ledger([], [gone]), census(), later(86_399)).purges
    assert (gone,) == care(Ledger([], [gone]), census(), later(86_400)).purges


def test_one_that_a_service_still_shows_is_not_purged() -> None:
    shown = (Backing(service="dev/web", kind=Kind.LOAD_BALANCER),)
    gone = claim("198.51.100.1", service(), released=NOW, backings=shown)
    assert () == care(Ledger([V4], [gone]), census(), later(1e7)).purges


def test_addresses_that_their_pool_gives_no_more_are_told_and_stay() -> None:
    claims = (
        WEB,
        claim("198.51.100.2", service(), pool="gone"),
        claim("198.51.100.3", service()),
        claim("198.51.100.4", service(), released=NOW),
        ServiceIP(address=Address("198.51.100.5"), pool="a"),
        claim("198.51.100.6", service(), pool=""),
        claim("198.51.100.20", service("two")),
        claim("2001:db8::1", service("two")),
    )
    excluding = pool(exclude=(Prefix("198.51.100.3/32"), Prefix("198.51.100.20/32")))
    assert ("198.51.100.3", "198.51.100.20", "2001:db8::1") == outside(Ledger([excluding], claims), excluding)
