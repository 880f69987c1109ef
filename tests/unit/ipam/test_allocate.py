# SPDX-License-Identifier: Apache-2.0
"""What an object is given of the pools, and what it is told if it is not."""

import msgspec
import pytest

from buoy.ipam.allocate import allocate
from buoy.ipam.ledger import Ledger
from buoy.ipam.request import Allocation
from buoy.model.address import Address, Prefix
from buoy.model.pool import Expression, Operator, Range, Registry, Selector
from buoy.model.proxied import ProxyPort
from buoy.model.refusal import AllocationReason, Cause, Refusal
from tests.unit.ipam.room import (
    NOW,
    SMALL,
    V4,
    V6,
    addresses,
    asks,
    carry_out,
    claim,
    lacking,
    later,
    only,
    pool,
    service,
    ways,
)


def test_the_lowest_free_address_of_the_first_pool_is_given() -> None:
    ledger = Ledger([pool(name="z", priority=5, prefixes=(Prefix("203.0.113.0/31"),)), V4])
    given = [carry_out(asks(name), ledger) for name in ("one", "two", "three", "four")]
    assert [["203.0.113.0"], ["203.0.113.1"], ["198.51.100.0"], ["198.51.100.1"]] == given


def test_asked_again_it_is_the_same_address_and_nothing_is_surplus() -> None:
    ledger = Ledger([V4])
    carry_out(asks(), ledger)
    decision = allocate(asks(), ledger, NOW)
    assert ["198.51.100.0 a kept"] == ways(decision)
    assert isinstance(decision, Allocation)
    assert ((), ()) == (decision.lacking, decision.surplus)


def test_dual_stack_takes_each_family_from_the_pool_that_has_it() -> None:
    ledger = Ledger([V4, V6])
    assert ["2001:db8::", "198.51.100.0"] == carry_out(asks(families=(6, 4), require_all=True), ledger)


def test_dual_stack_required_is_all_or_nothing() -> None:
    refused = allocate(asks(families=(4, 6), require_all=True), Ledger([V4]), NOW)
    assert isinstance(refused, Refusal)
    assert ["a: has no IPv6 addresses"] == lacking(refused)


def test_dual_stack_preferred_takes_what_there_is_and_more_when_it_comes() -> None:
    ledger = Ledger([V4])
    request = asks(families=(4, 6))
    assert ["198.51.100.0"] == carry_out(request, ledger)
    assert ["a: has no IPv6 addresses"] == lacking(allocate(request, ledger, NOW))
    ledger.put_pool(V6)
    assert ["198.51.100.0 a kept", "2001:db8:: six fresh"] == ways(allocate(request, ledger, NOW))


def test_dual_stack_required_keeps_what_is_in_use_and_gives_back_what_is_not_yet() -> None:
    held = claim("198.51.100.0", service())
    request = asks(families=(4, 6), require_all=True)
    assert isinstance(allocate(request, Ledger([V4], [held]), NOW), Refusal)
    in_use = msgspec.structs.replace(request, shown=(held.address,))
    assert ["198.51.100.0"] == addresses(allocate(in_use, Ledger([V4], [held]), NOW))


def test_one_family_less_gives_only_that_address_back() -> None:
    ledger = Ledger([V4, V6])
    carry_out(asks(families=(4, 6)), ledger)
    decision = allocate(asks(families=(4,)), ledger, NOW)
    assert isinstance(decision, Allocation)
    assert (["198.51.100.0"], ("2001:db8::",)) == (addresses(decision), decision.surplus)


def test_who_wants_nothing_any_more_gives_everything_back() -> None:
    ledger = Ledger([V4])
    carry_out(asks(), ledger)
    assert Allocation(surplus=(Address("198.51.100.0"),)) == allocate(asks(families=()), ledger, NOW)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prefixes": ()}, "a: has no IPv4 addresses"),
        ({"draining": True}, "a: draining, it gives no new addresses"),
        ({"automatic": False}, "a: only for who names it"),
        ({"namespaces": ("sales",)}, "a: not for namespace dev"),
        ({"namespace_selectors": (Selector(labels={"team": "x"}),)}, "a: not for namespace dev"),
        (
            {"services": (Selector(labels={"tier": "web"}),)},
            "a: not for Service dev/web, whose labels none of its selectors matches",
        ),
        ({"quota": 0}, "a: namespace dev has 0 of the 0 addresses its quota allows"),
        ({"exclude": (Prefix("198.51.100.0/24"),)}, "a: full (0 of 0)"),
        ({"registry": Registry.NEUTRON}, "a: OpenStack has put no address of it aside yet"),
    ],
)
def test_every_pool_that_gives_nothing_says_why(changed: dict[str, object], said: str) -> None:
    assert said == only(asks(), pool(V4, **changed))


def test_without_any_pool_that_is_what_is_said() -> None:
    assert "there is no pool" == only(asks())


def test_a_full_pool_says_how_full_and_until_when_something_is_held_down() -> None:
    live = claim("192.0.2.0", service("one"), pool="small")
    gone = claim("192.0.2.1", service("two"), pool="small", released=later(-60))
    refused = allocate(asks(), Ledger([SMALL], [live, gone]), NOW)
    assert ["small: full (2 of 2, 1 held down until 2026-03-01T12:04:00Z)"] == lacking(refused)
    assert ["192.0.2.1"] == addresses(allocate(asks(), Ledger([SMALL], [live, gone]), later(240)))


def test_a_refusal_speaks_of_each_pool_in_order_and_names_what_somebody_can_change() -> None:
    pools = (pool(namespaces=("sales",)), pool(name="b", quota=0), V6)
    refused = allocate(asks(), Ledger(pools), NOW)
    assert isinstance(refused, Refusal)
    assert (
        "a: not for namespace dev; b: namespace dev has 0 of the 0 addresses its quota allows; "
        "six: has no IPv4 addresses"
    ) == str(refused)
    assert "QuotaReached" == refused.reason.camel
    assert "release one in dev, or raise the quota of b" == refused.remedy
    assert ["a", "b", "six"] == [cause.pool for cause in refused.causes]


def test_a_refusal_whose_causes_are_all_by_the_way_names_the_first() -> None:
    refused = allocate(asks(), Ledger([V6]), NOW)
    assert isinstance(refused, Refusal)
    assert "FamilyMissing" == refused.reason.camel


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        (Expression(key="tier", operator=Operator.IN, values=("web", "db")), {"tier": "db"}),
        (Expression(key="tier", operator=Operator.NOT_IN, values=("web",)), {}),
        (Expression(key="tier", operator=Operator.EXISTS), {"tier": ""}),
        (Expression(key="tier", operator=Operator.DOES_NOT_EXIST), {"other": "web"}),
    ],
)
def test_expressions_select_objects_and_namespaces_as_kubernetes_has_it(
    expression: Expression, labels: dict[str, str]
) -> None:
    selector = Selector(expressions=(expression,))
    selected = pool(services=(selector,), namespace_selectors=(selector,))
    request = asks(labels=labels, namespace_labels=labels)
    assert ["198.51.100.0"] == addresses(allocate(request, Ledger([selected]), NOW))
    denied = Selector(labels={"absent": "x"}, expressions=(expression,))
    assert only(request, pool(services=(denied,))).startswith("a: not for Service dev/web")


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        (Expression(key="tier", operator=Operator.IN, values=("web",)), {}),
        (Expression(key="tier", operator=Operator.NOT_IN, values=("web",)), {"tier": "web"}),
        (Expression(key="tier", operator=Operator.EXISTS), {}),
        (Expression(key="tier", operator=Operator.DOES_NOT_EXIST), {"tier": ""}),
    ],
)
def test_an_expression_that_does_not_hold_selects_nothing(expression: Expression, labels: dict[str, str]) -> None:
    selected = pool(services=(Selector(expressions=(expression,)),))
    assert only(asks(labels=labels), selected).startswith("a: not for Service dev/web")


def test_a_namespace_draws_where_it_is_named_or_selected() -> None:
    mixed = pool(namespaces=("sales",), namespace_selectors=(Selector(labels={"team": "x"}),))
    assert ["198.51.100.0"] == addresses(allocate(asks(namespace="sales"), Ledger([mixed]), NOW))
    assert ["198.51.100.0"] == addresses(allocate(asks(namespace_labels={"team": "x"}), Ledger([mixed]), NOW))


def test_ranges_and_prefixes_of_a_pool_are_one() -> None:
    ranges = (Range(first=Address("198.51.100.9"), last=Address("198.51.100.10")),)
    ledger = Ledger([pool(prefixes=(Prefix("198.51.100.8/32"),), ranges=ranges)])
    given = [carry_out(asks(name), ledger) for name in "abc"]
    assert [["198.51.100.8"], ["198.51.100.9"], ["198.51.100.10"]] == given
    assert ["a: full (3 of 3)"] == lacking(allocate(asks("d"), ledger, NOW))


def test_who_cannot_be_understood_keeps_what_it_has_and_gets_nothing() -> None:
    objection = Cause(AllocationReason.MALFORMED, {"said": "x", "value": "{", "error": "no"})
    ledger = Ledger([V4])
    request = asks(objections=(objection,))
    assert Refusal((objection,)) == allocate(request, ledger, NOW)
    carry_out(asks(), ledger)
    decision = allocate(request, ledger, NOW)
    assert (["198.51.100.0"], ["x: { cannot be read: no"]) == (addresses(decision), lacking(decision))


class TestQuota:
    def test_a_namespace_has_no_more_than_its_quota_however_many_objects_it_has(self) -> None:
        ledger = Ledger([pool(quota=1)])
        carry_out(asks("one"), ledger)
        refused = allocate(asks("two"), ledger, NOW)
        assert ["a: namespace dev has 1 of the 1 addresses its quota allows"] == lacking(refused)
        assert ["198.51.100.1"] == addresses(allocate(asks(namespace="sales"), ledger, NOW))
        assert ["198.51.100.0"] == addresses(allocate(asks("one"), ledger, NOW))

    def test_what_one_decision_gives_counts(self) -> None:
        both = pool(quota=1, prefixes=(Prefix("198.51.100.0/24"), Prefix("2001:db8::/64")))
        decision = allocate(asks(families=(4, 6)), Ledger([both]), NOW)
        assert ["198.51.100.0"] == addresses(decision)
        assert ["a: namespace dev has 1 of the 1 addresses its quota allows"] == lacking(decision)

    def test_coming_back_counts(self) -> None:
        ledger = Ledger([pool(quota=1)], [claim("198.51.100.7", service(), released=NOW)])
        carry_out(asks("other"), ledger)
        refused = allocate(asks(), ledger, NOW)
        assert ["a: namespace dev has 1 of the 1 addresses its quota allows"] == lacking(refused)

    def test_sharing_what_the_namespace_has_costs_nothing(self) -> None:
        ledger = Ledger([pool(quota=1)])
        http, https = (ProxyPort("tcp", 80),), (ProxyPort("tcp", 443),)
        carry_out(asks("one", sharing="k", ports=http), ledger)
        assert ["198.51.100.0"] == carry_out(asks("two", sharing="k", ports=https), ledger)

    def test_nor_does_it_beside_an_address_of_the_other_family(self) -> None:
        both = pool(quota=2, prefixes=(Prefix("198.51.100.0/24"), Prefix("2001:db8::/64")))
        ledger = Ledger([both])
        carry_out(asks("one", sharing="k", ports=(ProxyPort("tcp", 80),)), ledger)
        two = asks("two", sharing="k", ports=(ProxyPort("tcp", 443),), families=(4, 6))
        assert ["198.51.100.0", "2001:db8::"] == carry_out(two, ledger)
