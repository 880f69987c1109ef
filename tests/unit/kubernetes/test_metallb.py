# SPDX-License-Identifier: Apache-2.0
"""MetalLB's pools as ours."""

import pytest

from buoy.kubernetes.metallb import translate_pool
from buoy.kubernetes.resources import ADDRESS_POOLS
from buoy.kubernetes.translate import Translation
from buoy.model.address import Address, Prefix
from buoy.model.errors import InvalidInput
from buoy.model.pool import Expression, Operator, Pool, Range, Selector
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.making import address_pool


def test_addresses_are_prefixes_and_ranges() -> None:
    made = address_pool(addresses=["192.0.2.0/28", "198.51.100.1 - 198.51.100.9", "2001:db8::/120"])
    expected = Pool(
        name="public",
        prefixes=(Prefix("192.0.2.0/28"), Prefix("2001:db8::/120")),
        ranges=(Range(first=Address("198.51.100.1"), last=Address("198.51.100.9")),),
        share_across_namespaces=True,
    )
    assert expected == translate_pool(made)


def test_what_is_said_of_the_pool_is_kept() -> None:
    made = translate_pool(address_pool(addresses=["192.0.2.0/28"], autoAssign=False, avoidBuggyIPs=True))
    assert (False, True) == (made.automatic, made.avoid_end_addresses)


def test_for_whom_a_pool_is() -> None:
    made = translate_pool(
        address_pool(
            addresses=["192.0.2.0/28"],
            serviceAllocation={
                "namespaces": ["shop"],
                "namespaceSelectors": [{"matchLabels": {"team": "a"}}],
                "serviceSelectors": [{"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}],
            },
        )
    )
    assert ("shop",) == made.namespaces
    assert (Selector(labels={"team": "a"}),) == made.namespace_selectors
    assert (Selector(expressions=(Expression(key="app", operator=Operator.IN, values=("web",)),)),) == made.services


def test_of_pools_for_some_the_lowest_priority_is_asked_first_and_none_last_but_before_those_for_all() -> None:
    for_all = address_pool("a", addresses=[])
    pools = [
        translate_pool(address_pool(f"p{at}", addresses=[], serviceAllocation={"namespaces": ["shop"], "priority": at}))
        for at in (0, 1, 2, 50)
    ]
    asked = sorted([translate_pool(for_all), *pools], key=lambda pool: (-pool.priority, pool.name))
    assert ["p1", "p2", "p50", "p0", "a"] == [pool.name for pool in asked]
    assert {True} == {pool.automatic for pool in asked}


@pytest.mark.parametrize("allocation", [{}, {"priority": 1}])
def test_a_pool_that_is_for_some_and_names_nobody_gives_addresses_to_who_names_it_alone(
    allocation: dict[str, int],
) -> None:
    assert not translate_pool(address_pool(addresses=[], serviceAllocation=allocation)).automatic


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("192.0.2.0/33", "spec.addresses[0]"),
        ("192.0.2.9-192.0.2.1", "spec.addresses[0]"),
        ("192.0.2.1-2001:db8::1", "spec.addresses[0]"),
        ("192.0.2.1-", "spec.addresses[0]"),
        ("x.x.x.x/16", "spec.addresses[0]"),
    ],
)
def test_what_cannot_be_read_is_refused_by_field(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        translate_pool(address_pool(addresses=[text]))
    assert field == refused.value.field


def test_an_operator_that_kubernetes_lacks_is_refused() -> None:
    wrong = {"namespaceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}]}
    with pytest.raises(InvalidInput, match="give one of In, NotIn, Exists, DoesNotExist"):
        translate_pool(address_pool(addresses=[], serviceAllocation=wrong))


def test_a_pool_of_addresses_that_can_be_nobodys_is_told_and_advertised_by_nobody() -> None:
    translation = Translation()
    translation.take(ADDRESS_POOLS, {ObjectName("m", "public"): address_pool(addresses=["127.0.0.1-127.0.0.9"])})
    assert {} == translation.documents
    assert ["ipaddresspools.metallb.io/m/public"] == list(translation.broken) == list(translation.notices)
