# SPDX-License-Identifier: Apache-2.0
"""What `buoy plan -f` tells of a cluster's objects: routes, addresses, sessions and refusals."""

from buoy.cli.plan import Line
from tests.unit.cli.cluster_objects import EXCLUDED, both, cluster, made, pod, service, settled, told

HEARD = "normal to peer_tor"
PODS = (pod("a", "web", "node-1"), pod("b", "web", "node-2"), pod("c", "local", "node-2"))
LOCAL = {"externalTrafficPolicy": "Local"}


def brief(found: list[Line]) -> list[tuple[str, str, str, str]]:
    return [(line.what, line.change, line.subject, line.node) for line in found]


def test_what_stands_already_changes_nothing() -> None:
    assert [] == told(settled(*PODS, service("web")), service("web"))


def test_a_new_service_gets_an_address_and_its_routes_where_its_pods_are() -> None:
    found = told(settled(*PODS), service("local", **LOCAL))
    assert [
        Line("route", "appears", "203.0.113.0/32", "node-2", None, HEARD),
        Line("service", "gets", "shop/local", "", [], ["203.0.113.0"], "Allocated: 203.0.113.0 from pool public"),
    ] == found


def test_a_service_that_selects_other_pods_is_announced_where_those_are() -> None:
    objects = settled(*PODS, service("web", **LOCAL))
    found = told(objects, service("web", **LOCAL, selector={"app": "local"}))
    assert [("route", "goes", "203.0.113.0/32", "node-1")] == brief(found)


def test_pods_that_are_not_ready_attract_nothing() -> None:
    found = told(settled(pod("a", "web", "node-1", ready=False)), service("web", **LOCAL))
    assert [("service", "gets"), ("refusal", "appears")] == [line[:2] for line in found]
    assert "no endpoint that is ready" in found[1].note


def test_a_service_that_goes_takes_its_routes_with_it() -> None:
    found = told(settled(*PODS, service("web")), service("web"), delete=True)
    assert [
        ("route", "goes", "203.0.113.0/32", "node-1"),
        ("route", "goes", "203.0.113.0/32", "node-2"),
        ("service", "loses", "shop/web", ""),
    ] == brief(found)


def test_a_service_that_names_another_address_moves() -> None:
    found = told(settled(*PODS, service("local", **LOCAL)), service("local", **LOCAL, loadBalancerIP="203.0.113.5"))
    assert [
        ("route", "goes", "203.0.113.0/32", "node-2"),
        ("route", "appears", "203.0.113.5/32", "node-2"),
        ("service", "moves", "shop/local", ""),
    ] == brief(found)


def test_a_node_that_is_excluded_announces_nothing() -> None:
    objects = settled(*PODS, service("web"))
    found = told(objects, made("Node", "node-2", {EXCLUDED: ""}))
    assert [("route", "goes", "203.0.113.0/32", "node-2")] == brief(found)
    assert [("route", "appears", "203.0.113.0/32", "node-2")] == brief(
        told(objects, made("Node", "node-2", {EXCLUDED: "false"}))
    )


def test_a_pool_that_shrinks_keeps_its_services_and_their_routes_and_says_so() -> None:
    objects = settled(*PODS, service("web"))
    found = told(objects, made("Pool", "public", spec={"prefixes": ["198.51.100.0/30"]}))
    assert [("service", "keeps", "shop/web", "")] == brief(found)
    assert found[0].note.startswith("OutsidePool")


def test_a_pool_that_is_full_leaves_a_service_waiting_and_one_that_grows_takes_it_up() -> None:
    objects = settled(service("a"), made("Pool", "public", spec={"prefixes": ["203.0.113.0/32"]}), service("b"))
    found = told(objects, service("c"))
    assert [("service", "waits", "shop/c", "")] == brief(found)
    assert found[0].note.startswith("PoolFull")
    grown = told(objects, made("Pool", "public", spec={"prefixes": ["203.0.113.0/29"]}))
    assert {("service", "gets", "shop/b", ""), ("service", "gets", "shop/c", "")} <= set(brief(grown))


def test_an_aggregate_takes_the_place_of_host_routes() -> None:
    objects = settled(*PODS, service("web"))
    found = told(
        objects, made("BGPConfiguration", "default", spec={"serviceLoadBalancerIPs": [{"cidr": "203.0.113.0/24"}]})
    )
    assert [
        ("route", "appears", "203.0.113.0/24", "node-1"),
        ("route", "appears", "203.0.113.0/24", "node-2"),
        ("route", "goes", "203.0.113.0/32", "node-1"),
        ("route", "goes", "203.0.113.0/32", "node-2"),
    ] == brief(found)


def test_communities_of_a_prefix_change_the_routes_in_it() -> None:
    objects = settled(*PODS, service("local", **LOCAL))
    tagged = {"communities": [{"prefix": "203.0.113.0/24", "communities": ["65535:65282"]}]}
    found = told(objects, made("BGPSettings", "default", spec=tagged))
    assert [Line("route", "changes", "203.0.113.0/32", "node-2", HEARD, f"{HEARD} with 65535:65282")] == found


def test_a_router_more_is_a_session_on_each_node_and_hears_every_route() -> None:
    objects = settled(*PODS, service("local", **LOCAL))
    found = told(objects, made("Peer", "core", spec={"address": "192.0.2.253", "asn": 64511}))
    assert [
        Line("route", "changes", "203.0.113.0/32", "node-2", HEARD, "normal to peer_core, peer_tor"),
        Line("session", "appears", "peer_core", "node-1", None, "192.0.2.253 AS 64511"),
        Line("session", "appears", "peer_core", "node-2", None, "192.0.2.253 AS 64511"),
    ] == found


def test_what_cannot_be_is_told_as_a_refusal_and_changes_nothing_else() -> None:
    objects = settled(*PODS, service("web"))
    found = told(objects, made("Peer", "core", spec={"address": "192.0.2", "asn": 64511}))
    assert [("refusal", "appears", "peers.buoy.dev/core", "")] == brief(found)
    assert "192.0.2" in found[0].note


def test_a_field_of_calico_that_is_not_honoured_is_told() -> None:
    found = told(cluster(), made("BGPConfiguration", "default", spec={"ignoredInterfaces": ["dummy0"]}))
    assert [("refusal", "appears", "bgpconfigurations.projectcalico.org/default", "")] == brief(found)


def test_an_address_in_a_status_is_adopted_by_who_shows_it_when_nobody_claims_it() -> None:
    shown = service("old")
    shown.body["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.0"}]}}
    before, after = both(cluster(*PODS, shown), service("new"))
    assert ("203.0.113.0",) == before.holders["service shop/old"].addresses
    assert ("203.0.113.0",) == after.holders["service shop/old"].addresses
    assert ("203.0.113.1",) == after.holders["service shop/new"].addresses
