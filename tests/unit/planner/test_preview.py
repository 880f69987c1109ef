# SPDX-License-Identifier: Apache-2.0
"""What all nodes would tell their peers, and what a change makes of it."""

import msgspec
import pytest

from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.node import Node
from buoy.model.nodestate import Class
from buoy.model.peer import Action, BGPSettings, Filter, FilterRule, Peer, Tagged
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason
from buoy.model.service_ip import ServiceIP
from buoy.planner.preview import Difference, Nodes, Preview, Route, Told, accepts, differences, gone, preview
from tests.unit.planner.cloud import HERE, SERVICE, THERE, floating, port, snapshot
from tests.unit.planner.cluster import EVERYWHERE, POOL, PUBLIC, backing, balanced, pool, settings

HOST = Prefix("203.0.113.5/32")
NODES = (
    Node(name=HERE, addresses=(Address("192.0.2.11"), Address("2001:db8::11"))),
    Node(name=THERE, addresses=(Address("192.0.2.12"),)),
)
TOR = Peer(name="tor", address=Address("192.0.2.254"), asn=64511)
HEARD = Told(Class.NORMAL, ("peer_tor",))


def seen(*documents: Document, nodes: tuple[str, ...] = (HERE, THERE)) -> Preview:
    known = [document for document in documents if isinstance(document, BGPSettings)] or [settings()]
    eligible = {each.node: each for each in (*EVERYWHERE, *documents) if isinstance(each, Eligibility)}
    said = {each.name: each for each in (*NODES, *documents) if isinstance(each, Node)}
    others = [each for each in documents if not isinstance(each, BGPSettings | Eligibility | Node)]
    return preview(snapshot(*known, *eligible.values(), *said.values(), *others), nodes)


def test_a_service_is_told_by_every_node_that_may_attract_traffic_as_if_its_proxy_forwarded() -> None:
    assert {Route(HOST, HERE): HEARD, Route(HOST, THERE): HEARD} == seen(balanced(), TOR).routes
    kept = seen(balanced(), TOR, Eligibility(node=THERE, excluded="it is labelled"))
    assert {Route(HOST, HERE): HEARD} == kept.routes
    assert {} == kept.withheld, "one node announces it"


def test_a_guest_is_told_of_as_if_its_interface_were_up() -> None:
    found = seen(port(), floating(), TOR)
    assert Route(Prefix(f"{SERVICE}/32"), HERE) in found.routes
    assert {HERE} == {route.node for route in found.routes}


def test_a_route_is_told_with_the_communities_of_every_prefix_it_is_in() -> None:
    tagged = (
        Tagged(prefix=Prefix("203.0.113.0/24"), communities=("64512:2", "64512:1:1")),
        Tagged(prefix=HOST, communities=("64512:1", "64512:2")),
        Tagged(prefix=Prefix("203.0.113.5/32"), communities=()),
        Tagged(prefix=Prefix("198.51.100.0/24"), communities=("64512:3",)),
    )
    said = msgspec.structs.replace(settings(), communities=tagged)
    told = HEARD._replace(communities=("64512:1", "64512:1:1", "64512:2"))
    assert {Route(HOST, HERE): told, Route(HOST, THERE): told} == seen(balanced(), TOR, said).routes


def test_a_prefix_is_not_told_with_the_communities_of_a_part_of_it() -> None:
    aggregate = settings(pool(aggregate=True))
    tagged = tuple(
        Tagged(prefix=Prefix(prefix), communities=(f"64512:{index}",)) for index, prefix in enumerate((POOL, HOST))
    )
    found = seen(balanced(), TOR, msgspec.structs.replace(aggregate, communities=tagged)).routes
    assert ("64512:0",) == found[Route(Prefix(POOL), HERE)].communities


def test_a_node_without_a_living_agent_says_nothing() -> None:
    assert {HERE} == {route.node for route in seen(balanced(), TOR, nodes=(HERE, "compute-9")).routes}


def test_a_node_that_drains_tells_its_routes_as_the_last_resort() -> None:
    draining = msgspec.structs.replace(NODES[1], draining=True)
    assert Class.DRAIN is seen(balanced(), TOR, draining).routes[Route(HOST, THERE)].preference


def test_an_address_that_no_node_announces_is_told_with_its_reason() -> None:
    found = seen(balanced(backing(ready=())), TOR)
    assert ({}, Reason.NO_READY_ENDPOINT) == (found.routes, found.withheld[PUBLIC].reason)


def test_an_address_whose_prefix_is_announced_is_not_withheld() -> None:
    found = seen(balanced(), TOR, settings(pool(aggregate=True)))
    assert {Route(POOL, HERE), Route(POOL, THERE)} == found.routes.keys()
    assert {} == found.withheld


def test_without_a_session_nobody_hears_of_anything() -> None:
    assert {} == seen(balanced(), settings(mesh=False)).routes


def test_other_nodes_hear_of_a_route_where_there_is_no_router() -> None:
    assert ("node_compute_2_v4",) == seen(balanced()).routes[Route(HOST, HERE)].sessions
    assert ("peer_tor",) == seen(balanced(), TOR).routes[Route(HOST, HERE)].sessions


def test_a_session_of_one_family_carries_the_other_only_with_a_next_hop_in_it() -> None:
    address = Address("2001:db8:5::1")
    six = balanced(address=address)
    found = seen(six, TOR, settings(pool("2001:db8:5::/64")))
    assert [(Route(Prefix("2001:db8:5::1/128"), HERE), HEARD)] == list(found.routes.items())


def test_a_filter_of_a_peer_keeps_from_it_what_it_rejects() -> None:
    closed = Filter(name="closed", rules=(FilterRule(action=Action.REJECT, prefix=POOL),))
    second = Peer(name="core", address=Address("192.0.2.253"), asn=64510)
    shut = msgspec.structs.replace(TOR, export_filter="closed")
    assert {} == seen(balanced(), shut, closed).routes
    assert ("peer_core",) == seen(balanced(), shut, second, closed).routes[Route(HOST, HERE)].sessions


@pytest.mark.parametrize(
    ("rules", "accepted"),
    [
        ([], True),
        ([("reject", "203.0.113.0/24", None, None)], False),
        ([("reject", "203.0.113.0/24", None, 31)], True),
        ([("reject", "203.0.113.0/24", 25, 32)], False),
        ([("accept", "203.0.113.5/32", None, None), ("reject", "0.0.0.0/0", None, None)], True),
        ([("reject", "198.51.100.0/24", None, None)], True),
        ([("reject", "::/0", None, None)], True),
    ],
)
def test_the_first_rule_that_matches_decides(
    rules: list[tuple[str, str, int | None, int | None]], accepted: bool
) -> None:
    made = tuple(
        FilterRule(action=Action(action), prefix=Prefix(prefix), low=low, high=high)
        for action, prefix, low, high in rules
    )
    assert accepted == accepts(Filter(name="f", rules=made), HOST)


def test_a_peer_that_cannot_work_is_refused_by_name_on_the_node() -> None:
    found = seen(balanced(), msgspec.structs.replace(TOR, hold_time=2))
    assert "peers/tor.hold_time" in found.refused[HERE][0]
    assert {(HERE, "node_compute_2_v4"), (THERE, "node_compute_1_v4")} == found.sessions.keys()


def test_a_peer_whose_filter_is_missing_hears_of_nothing() -> None:
    found = seen(balanced(), msgspec.structs.replace(TOR, export_filter="missing"))
    assert "missing" in found.refused[HERE][0]
    assert ({}, True) == (found.routes, (HERE, "peer_tor") in found.sessions)


def test_what_differs_is_told_and_which_part_of_the_routes_goes() -> None:
    before, after = seen(balanced(), TOR).routes, seen(balanced(), TOR, Eligibility(node=THERE, excluded="x")).routes
    assert (Difference(Route(HOST, THERE), HEARD, None),) == differences(before, after)
    assert (Difference(Route(HOST, THERE), None, HEARD),) == differences(after, before)
    assert () == differences(before, before)
    assert (0.5, 0.0, 0.0) == (gone(before, after), gone(after, before), gone({}, after))


def test_a_second_look_at_what_differs_is_what_a_first_one_would_be() -> None:
    nodes = Nodes()
    known: tuple[Document, ...] = (*EVERYWHERE, *NODES, TOR, settings())
    standing = {documents.path(each): each for each in known}
    far = Node(name=THERE, addresses=NODES[1].addresses, draining=True)
    changes: tuple[tuple[Document, ...], ...] = (
        (balanced(),),
        (backing_moved(),),
        (far,),
        (port(), floating()),
        (NODES[1],),
    )
    for news in changes:
        standing |= {documents.path(each): each for each in news}
        now = snapshot(*standing.values())
        looked = nodes.look(now, (HERE, THERE), frozenset(map(documents.path, news)))
        assert preview(now, (HERE, THERE)) == looked
    del standing[documents.path(NODES[0])]
    for _ in range(2):
        now = snapshot(*standing.values())
        looked = nodes.look(now, (HERE, THERE), frozenset({documents.path(NODES[0])}))
        assert preview(now, (HERE, THERE)) == looked
        standing[documents.path(NODES[0])] = NODES[0]


def backing_moved() -> ServiceIP:
    """Return the Service with an endpoint on another node only, which counts with policy Local."""
    return balanced(backing(local=True, ready=(THERE,)))
