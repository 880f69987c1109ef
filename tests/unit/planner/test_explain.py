# SPDX-License-Identifier: Apache-2.0
"""What `buoy why` says: one address, one story, each *no* with its reason."""

import msgspec
import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.node import Node
from buoy.model.nodestate import Change, Dnat, Failure, Phase, Step, Table
from buoy.model.peer import Filter, Peer
from buoy.model.pool import Pool, Range
from buoy.model.reason import Reason, Withhold
from buoy.model.status import AddressStatus, State
from buoy.model.workload import AddressPair
from buoy.planner.desired import Desired
from buoy.planner.explain import Scene, explain
from buoy.planner.line import Line
from buoy.planner.sight import Sight
from buoy.planner.status import Seen
from tests.unit.planner.cloud import (
    FIXED,
    HERE,
    SERVICE,
    THERE,
    UP,
    endpoint,
    floating,
    key,
    mapped,
    node,
    port,
    snapshot,
)

POOL = Pool(name="public", prefixes=(Prefix("198.51.100.0/24"),))
DNAT, TOLD = key(Table.DNAT, SERVICE), key(Table.ANNOUNCEMENT, "198.51.100.1/32")


def scene(desired: Desired, **changes: object) -> Scene:
    """Return a node that holds what it wants, but for changes."""
    return msgspec.structs.replace(Scene(desired, dict(desired.state)), **changes)


def reasons(address: Address, looked_at: Scene) -> list[tuple[str, Reason | None]]:
    return [(line.topic, line.reason) for line in explain(address, looked_at) if not line.ok]


def test_the_whole_way_of_a_floating_ip() -> None:
    desired = node(port(groups=("red",)), floating(id="fip", pool="public"), POOL)
    combination = next(key.name[0] for key in desired.state if key.table is Table.COMBINATION)
    assert (
        Line("document", "translated service IP fip, direction both", ok=True),
        Line("pool", "public (198.51.100.0/24), books kept by store", ok=True),
        Line("binding", "port port1, fixed IP 192.0.2.1, on compute-1", ok=True),
        Line("node", "served by compute-1", ok=True),
        Line(
            "route",
            "link tap1, neighbour tap1 192.0.2.1, route 192.0.2.1/32, route 198.51.100.1/32: seen",
            ok=True,
        ),
        Line("NAT", "dnat 198.51.100.1, egress 192.0.2.1: seen", ok=True),
        Line("policy", f"group red, combination {combination}, guard tap1: seen", ok=True),
        Line("announcement", "announcement 198.51.100.1/32: seen", ok=True),
        Line("peers", "told to an established peer", ok=True),
    ) == explain(SERVICE, scene(desired))


def test_a_fixed_ip_needs_no_nat() -> None:
    lines = explain(FIXED, scene(node(port())))
    assert "address of port port1, routed without NAT" == lines[0].text
    assert ["document", "binding", "node", "route", "policy", "announcement", "peers"] == [line.topic for line in lines]


@pytest.mark.parametrize(
    ("documents", "topic", "reason"),
    [
        ((), "document", Reason.UNKNOWN_ADDRESS),
        ((floating(endpoints=()),), "node", Reason.UNBOUND),
        ((floating(endpoints=(endpoint(node=""),)),), "node", Reason.PORT_UNBOUND),
        ((floating(endpoints=(endpoint(node="", driver="ovn"),)),), "node", Reason.OTHER_DRIVER),
        ((floating(),), "node", Reason.WORKLOAD_MISSING),
        ((port(fixed_ips=()), floating()), "node", Reason.FIXED_IP_LEFT),
        ((port(interface="tap9"), floating()), "node", Reason.TAP_MISSING),
        ((port(admin_up=False), floating()), "node", Reason.ADMIN_DOWN),
        ((floating(endpoints=(endpoint(node=THERE),)),), "node", Reason.NODE_WITHOUT_AGENT),
    ],
)
def test_a_no_of_the_documents(documents: tuple[Document, ...], topic: str, reason: Reason) -> None:
    assert [(topic, reason)] == reasons(SERVICE, scene(node(*documents)))


def test_a_no_has_its_sentence_and_its_remedy() -> None:
    line = explain(SERVICE, scene(node(floating(endpoints=()))))[-1]
    remedy = "associate it: openstack floating ip set --port PORT 198.51.100.1"
    assert f"198.51.100.1 is bound to no workload; {remedy}" == line.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"observed": {}}, [(topic, Reason.NOT_VERIFIED) for topic in ("route", "NAT", "policy", "announcement")]),
        (
            {"seen": Seen(failures=[Failure(Step(Phase.BUILD, Change(DNAT, None, Dnat(FIXED))), "full")])},
            [("NAT", Reason.REFUSED_BY_KERNEL)],
        ),
        (
            {"seen": Seen(untold=Withhold(Reason.NO_ESTABLISHED_PEER, {"node": HERE}))},
            [("peers", Reason.NO_ESTABLISHED_PEER)],
        ),
        (
            {"seen": Seen(untold=Withhold(Reason.FILTERED_BY_EXPORT, {"node": HERE}))},
            [("peers", Reason.FILTERED_BY_EXPORT)],
        ),
        (
            {"statuses": [AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE, announced=True)]},
            [("other nodes", Reason.OLD_NODE_NOT_CONFIRMED)],
        ),
        (
            {
                "statuses": [
                    AddressStatus(node=HERE, address=SERVICE, state=State.ACTIVE, announced=True),
                    AddressStatus(node=THERE, address=FIXED, state=State.ACTIVE, announced=True),
                    AddressStatus(node=THERE, address=SERVICE, state=State.DOWN),
                ]
            },
            [],
        ),
    ],
)
def test_a_no_of_the_host_or_of_others(changes: dict[str, object], expected: list[tuple[str, Reason]]) -> None:
    assert expected == reasons(SERVICE, scene(node(port(), floating()), **changes))


def test_a_filter_that_is_missing_is_named_where_nobody_is_told() -> None:
    tor = Peer(name="tor", address=Address("192.0.2.254"), asn=65000, export_filter="few")
    elsewhere = msgspec.structs.replace(tor, name="elsewhere", nodes=(THERE,))
    plain = msgspec.structs.replace(tor, name="plain", export_filter="")
    filtered = Seen(untold=Withhold(Reason.FILTERED_BY_EXPORT, {"address": SERVICE, "node": HERE, "peers": "peer_tor"}))
    told = [
        line.text for line in explain(SERVICE, scene(node(port(), floating(), tor, elsewhere, plain), seen=filtered))
    ]
    remedy = "and there is no such filter: add it, or nothing is told to this peer"
    assert f"peers/tor names the filter few, {remedy}" == told[-1]
    there = node(port(), floating(), tor, Filter(name="few"))
    assert [("peers", Reason.FILTERED_BY_EXPORT)] == reasons(SERVICE, scene(there, seen=filtered))


@pytest.mark.parametrize(
    ("seen", "reason"), [(Seen(held="another store"), Reason.HELD_BY_GUARD), (Seen(), Reason.NOT_VERIFIED)]
)
def test_an_announcement_that_nobody_wants_any_more(seen: Seen, reason: Reason) -> None:
    held = dict(node(port(), floating()).state)
    unknown = reasons(SERVICE, scene(node(port()), observed=held, seen=seen))
    assert [("document", Reason.UNKNOWN_ADDRESS), ("announcement", reason)] == unknown
    unbound = reasons(SERVICE, scene(node(port(), floating(endpoints=())), observed=held, seen=seen))
    assert [("node", Reason.UNBOUND), ("announcement", reason)] == unbound


def test_another_node_is_asked_for_its_own_words() -> None:
    desired = node(floating(endpoints=(endpoint(node=THERE),)))
    no_tap = AddressStatus(node=THERE, address=SERVICE, state=State.DOWN, reason=Reason.TAP_MISSING)
    active = AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE)
    other = AddressStatus(node="compute-3", address=SERVICE, state=State.ACTIVE)
    alive = [Node(name=THERE)]
    found = reasons(SERVICE, scene(desired, nodes=alive, statuses=[other, no_tap]))
    assert [("node", Reason.OTHER_NODE), ("status", Reason.TAP_MISSING)] == found
    lines = explain(SERVICE, scene(desired, nodes=alive, statuses=[active]))
    assert Line("status", "compute-2 says active", ok=True) == lines[-1]


def test_a_fixed_ip_on_another_node() -> None:
    assert [("node", Reason.NODE_WITHOUT_AGENT)] == reasons(FIXED, scene(node(port(node=THERE))))


def test_an_allowed_pair_is_its_ports() -> None:
    pair = AddressPair(prefix=Prefix("203.0.113.9/32"), mac=Mac("fa:16:3e:00:00:09"))
    desired = node(port(pairs=(pair,)))
    assert [("node", Reason.PAIR_OUTSIDE)] == reasons(Address("203.0.113.9"), scene(desired))


def test_a_broken_document_is_named_and_the_last_good_one_explained() -> None:
    desired = node(port(), floating())
    path = f"service-ips/{SERVICE}"
    desired.update(snapshot(port(), floating(), broken={path: "no JSON"}), None, Sight({"tap1": UP}))
    lines = explain(SERVICE, scene(desired))
    assert [("document", Reason.BROKEN_DOCUMENT)] == reasons(SERVICE, scene(desired))
    assert lines[0].text.startswith(f"the document {path} cannot be read: no JSON;")
    desired.update(snapshot(broken={path: "no JSON"}), None, Sight())
    assert [("document", Reason.BROKEN_DOCUMENT)] == reasons(SERVICE, scene(desired))


def test_mapped_ports_are_told_but_not_one_by_one() -> None:
    desired = node(port(), floating(endpoints=(mapped(8000, last=8009),)))
    lines = {line.topic: line.text for line in explain(SERVICE, scene(desired))}
    assert "port port1, fixed IP 192.0.2.1, tcp 8000-8009, on compute-1" == lines["binding"]
    assert lines["NAT"].endswith("mapping 198.51.100.1 tcp 8005 and 4 more: seen")


def test_an_address_outside_its_pool_is_pointed_at() -> None:
    pool = Pool(name="public", prefixes=(Prefix("203.0.113.0/24"),))
    lines = explain(SERVICE, scene(node(port(), floating(pool="public"), pool)))
    text = "public (203.0.113.0/24), books kept by store, which does not contain 198.51.100.1"
    assert Line("pool", text, ok=False) == lines[1]
    assert "drawn from no pool" == explain(SERVICE, scene(node(port(), floating())))[1].text


@pytest.mark.parametrize(
    ("first", "last", "inside"),
    [("198.51.100.1", "198.51.100.9", True), ("198.51.100.2", "198.51.100.9", False), ("::1", "::9", False)],
)
def test_an_address_of_a_range_is_in_its_pool(first: str, last: str, *, inside: bool) -> None:
    pool = Pool(name="public", ranges=(Range(first=Address(first), last=Address(last)),))
    line = explain(SERVICE, scene(node(port(), floating(pool="public"), pool)))[1]
    assert (inside, True) == (line.ok, f"public ({first}-{last})" in line.text)
