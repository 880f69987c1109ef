# SPDX-License-Identifier: Apache-2.0
"""Prefixes announced as a whole: of Services where a service proxy is, of a node's own pods everywhere."""

import pytest

from buoy.model.address import Prefix
from buoy.model.documents import Document
from buoy.model.nodestate import Announcement, Class, Discard, Entry, Key, Phase, Stray, Table
from buoy.model.proxied import Eligibility, ProxyMode
from buoy.model.reason import Reason, Withhold
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.sight import Sight
from buoy.planner.verify import Mismatch
from tests.unit.planner.cloud import HERE, THERE, key, only
from tests.unit.planner.cluster import backing, balanced, cluster, forwarding, pool, settings

SERVICES, SERVICES6 = Prefix("203.0.113.0/24"), Prefix("2001:db8:f::/112")
PODS = (Prefix("10.244.1.0/24"), Prefix("2001:db8:1::/64"))
AGGREGATES = settings(pool(SERVICES6, aggregate=True), pool(SERVICES, aggregate=True), pool("198.51.100.0/24"))
EXCLUDED = Eligibility(node=HERE, excluded="it is labelled", prefixes=PODS)


def told(desired: Desired) -> dict[str, Entry]:
    """Return what is announced, by prefix."""
    return {each.name[0]: entry for each, entry in only(desired, Table.ANNOUNCEMENT).items()}


def test_a_prefix_of_services_is_announced_and_what_no_service_has_of_it_is_dropped() -> None:
    desired = cluster(AGGREGATES)
    prefixes = (SERVICES, SERVICES6)
    assert {prefix: Announcement(None, Class.NORMAL) for prefix in prefixes} == told(desired)
    assert {key(Table.STRAY, prefix): Stray() for prefix in prefixes} == only(desired, Table.STRAY, Table.DISCARD)
    assert None is desired.aggregates_withheld


def test_it_is_announced_after_what_ends_its_packets_and_not_without() -> None:
    desired = cluster(settings(pool(aggregate=True)))
    plan = make_plan({}, desired.state)
    assert [(Phase.BUILD, Table.STRAY), (Phase.ANNOUNCE, Table.ANNOUNCEMENT)] == [
        (step.phase, step.act.key.table) for step in plan.steps if hasattr(step.act, "key")
    ]
    announced, stray = key(Table.ANNOUNCEMENT, SERVICES), key(Table.STRAY, SERVICES)
    assert {announced} == desired.baseless([announced], [Mismatch(stray, Stray(), None)])


@pytest.mark.parametrize(
    ("documents", "sight", "reason", "details"),
    [
        ((EXCLUDED,), forwarding(), Reason.NODE_EXCLUDED, {"cause": "it is labelled"}),
        ((), Sight(), Reason.NO_SERVICE_PROXY, {}),
    ],
)
def test_a_node_that_may_not_or_cannot_forward_announces_none_and_says_why(
    documents: tuple[Document, ...], sight: Sight, reason: Reason, details: dict[str, str]
) -> None:
    desired = cluster(AGGREGATES, *documents, sight=sight)
    expected = Withhold(reason, {"node": HERE, "address": f"{SERVICES6}, {SERVICES}", **details})
    assert ({}, {}, expected) == (told(desired), only(desired, Table.STRAY), desired.aggregates_withheld)


@pytest.mark.parametrize(("family", "left", "missing"), [(6, SERVICES6, SERVICES), (4, SERVICES, SERVICES6)])
def test_where_the_proxy_is_seen_for_one_family_only_that_one_is_announced_and_the_other_named(
    family: int, left: Prefix, missing: Prefix
) -> None:
    desired = cluster(AGGREGATES, sight=Sight(proxy=ProxyMode.NFTABLES, families=frozenset({family})))
    assert {left} == told(desired).keys()
    assert {key(Table.STRAY, left)} == only(desired, Table.STRAY).keys()
    assert Withhold(Reason.NO_SERVICE_PROXY, {"node": HERE, "address": missing}) == desired.aggregates_withheld


def test_a_proxy_that_nobody_is_to_look_at_is_believed() -> None:
    assert {SERVICES, SERVICES6} == told(cluster(AGGREGATES, sight=Sight(proxy=ProxyMode.UNCHECKED))).keys()


def test_where_there_is_no_prefix_of_services_nothing_is_withheld() -> None:
    assert None is cluster(settings(), sight=Sight()).aggregates_withheld


def test_an_address_that_local_policy_gives_its_own_route_has_both() -> None:
    desired = cluster(settings(pool(aggregate=True)), balanced(backing(local=True)))
    assert {SERVICES, "203.0.113.5/32"} == told(desired).keys()
    assert {key(Table.STRAY, SERVICES), key(Table.STRAY, "203.0.113.5/32")} == only(desired, Table.STRAY).keys()


@pytest.mark.parametrize("eligibility", [EXCLUDED, Eligibility(node=HERE, prefixes=PODS)])
def test_a_node_announces_its_own_pods_where_that_is_wanted(eligibility: Eligibility) -> None:
    other = Eligibility(node=THERE, prefixes=(Prefix("10.244.2.0/24"),))
    desired = cluster(settings(node_prefixes=True), eligibility, other, sight=Sight())
    assert set(PODS) == told(desired).keys()
    assert {} == told(cluster(settings(), eligibility))


def test_a_node_that_is_not_known_has_no_pods() -> None:
    desired = cluster(settings(node_prefixes=True), at="compute-9")
    assert {} == told(desired)


def test_pools_of_workloads_are_discarded_as_ever() -> None:
    desired = cluster(settings(pool(aggregate=True), originate=(Prefix("198.51.100.0/24"),)))
    assert {Key(Table.DISCARD, ("198.51.100.0/24",)): Discard()} == only(desired, Table.DISCARD)
    assert {"198.51.100.0/24", SERVICES} == told(desired).keys()
