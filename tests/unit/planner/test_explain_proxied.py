# SPDX-License-Identifier: Apache-2.0
"""What `buoy why` says of a Service's address: where it is announced, where it is not, and from the store alone."""

import msgspec
import pytest

from buoy.model.documents import Document, path
from buoy.model.node import Fence, Node
from buoy.model.nodestate import Table
from buoy.model.proxied import Eligibility, ProxyMode, ProxyPort
from buoy.model.reason import Reason, Withhold
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.planner.desired import Desired
from buoy.planner.explain import Scene, explain
from buoy.planner.line import Line, no, yes
from buoy.planner.remote import old_nodes, remote_lines
from buoy.planner.sight import Sight
from buoy.planner.status import Seen, address_status
from tests.unit.planner.cloud import HERE, THERE, key
from tests.unit.planner.cluster import (
    DNS,
    EVERYWHERE,
    PUBLIC,
    THIRD,
    TLS,
    WEB,
    backing,
    balanced,
    cluster,
    forwarding,
    pool,
    says,
    settings,
)

LOCAL = backing(local=True, ready=(THERE,))
MOVING = backing(local=True, ready=(THERE,), draining=(HERE,))
UNREADY = AddressStatus(
    node=THERE,
    address=PUBLIC,
    state=State.DOWN,
    reason=Reason.NOT_PROXIED_YET,
    details={"address": PUBLIC, "service": "shop/web", "namespace": "shop", "node": THERE, "missing": "tcp 80"},
)


def told(desired: Desired) -> list[Line]:
    """Return what the node says that holds all it wants."""
    return list(explain(PUBLIC, Scene(desired, dict(desired.state))))


def topics(desired: Desired) -> list[tuple[str, Reason | None]]:
    return [(line.topic, line.reason) for line in told(desired)]


def test_the_whole_way_of_a_service() -> None:
    desired = cluster(balanced(), says(THERE), Node(name=THERE))
    assert [
        yes("document", "proxied service IP"),
        yes("pool", "drawn from no pool"),
        yes("service", "shop/web, load-balancer IP, tcp 80, traffic policy Cluster"),
        yes("endpoints", "ready on compute-1"),
        yes("node", "announced by compute-1"),
        yes("proxy", "nftables: forwards tcp 80"),
        yes("strays", "stray 203.0.113.5/32: seen"),
        yes("announcement", "announcement 203.0.113.5/32: seen"),
        yes("peers", "told to an established peer"),
        yes("other nodes", "announced by compute-2"),
    ] == told(desired)


def test_each_service_behind_an_address_has_its_lines() -> None:
    dns = backing(service="shop/dns", local=True, ports=(DNS,), ready=(), draining=(HERE, THERE), elsewhere=True)
    lines = told(cluster(balanced(backing(), dns), sight=forwarding(WEB, DNS)))
    assert [
        yes("service", "shop/dns, load-balancer IP, udp 53, traffic policy Local"),
        yes("endpoints", "terminating on compute-1, compute-2; ready on no node that is known"),
    ] == lines[4:6]


def test_a_port_that_no_endpoint_has_is_named() -> None:
    lines = told(cluster(balanced(backing(unserved=(DNS,))), sight=forwarding(WEB)))
    assert yes("endpoints", "ready on compute-1; none has udp 53") in lines


def test_an_address_that_is_only_kept_for_its_service_says_so() -> None:
    service = msgspec.structs.replace(balanced(), backings=())
    assert [("document", None), ("pool", None), ("service", Reason.NO_SERVICE)] == topics(cluster(service))


def test_the_last_resort_is_called_so() -> None:
    assert yes("node", "announced by compute-1, as the last resort") in told(cluster(balanced(MOVING)))


def test_a_proxy_that_nobody_looks_at_is_called_so() -> None:
    lines = told(cluster(balanced(), sight=Sight(proxy=ProxyMode.UNCHECKED)))
    assert yes("proxy", "not looked at, as the settings of this agent say") in lines


def test_a_port_that_is_new_and_not_forwarded_yet_is_named_though_the_address_is_announced() -> None:
    desired = cluster(balanced(backing(ports=(WEB, TLS))), sight=forwarding(WEB, relied=[WEB]))
    assert ("node", None) in topics(desired)
    details = {"address": PUBLIC, "service": "shop/web", "namespace": "shop", "node": HERE, "missing": "tcp 443"}
    assert no("proxy", Withhold(Reason.NOT_PROXIED_YET, details)) in told(desired)


@pytest.mark.parametrize(("relied", "topic"), [((WEB,), "proxy"), (None, "node")])
def test_a_proxy_that_is_stuck_is_named_and_an_address_goes_on_but_does_not_begin(
    relied: tuple[ProxyPort, ...] | None, topic: str
) -> None:
    desired = cluster(balanced(), sight=msgspec.structs.replace(forwarding(WEB, relied=relied), stuck="hangs"))
    assert (relied is not None) == (key(Table.ANNOUNCEMENT, f"{PUBLIC}/32") in desired.state)
    details = {"address": PUBLIC, "service": "shop/web", "namespace": "shop", "node": HERE, "cause": "hangs"}
    assert no(topic, Withhold(Reason.SERVICE_PROXY_STUCK, details)) in told(desired)


def test_a_node_that_leaves_the_address_to_others_says_to_whom() -> None:
    lines = told(cluster(balanced(LOCAL), says(THERE)))
    assert all(line.ok for line in lines)
    assert ["document", "pool", "service", "endpoints", "node", "other nodes"] == [line.topic for line in lines]
    assert yes("other nodes", "announced by compute-2") == lines[-1]


@pytest.mark.parametrize(
    ("documents", "reasons"),
    [
        ((balanced(LOCAL),), [("node", Reason.NO_LOCAL_ENDPOINT)]),
        ((balanced(LOCAL), UNREADY), [("node", Reason.NO_LOCAL_ENDPOINT), ("other nodes", Reason.NOT_PROXIED_YET)]),
        ((balanced(), Eligibility(node=HERE, excluded="labelled"), says(THERE)), []),
        ((balanced(), Eligibility(node=HERE, excluded="labelled")), [("node", Reason.NODE_EXCLUDED)]),
        ((balanced(), settings(pool(aggregate=True))), []),
        (
            (balanced(), settings(pool(aggregate=True)), Eligibility(node=HERE, excluded="labelled")),
            [("node", Reason.NODE_EXCLUDED)],
        ),
        ((balanced(), settings(pool("198.51.100.0/24"))), [("node", Reason.NOT_ADVERTISED)]),
        (
            (balanced(backing(ready=())),),
            [("endpoints", Reason.NO_READY_ENDPOINT), ("node", Reason.NO_READY_ENDPOINT)],
        ),
        ((balanced(backing(ports=(TLS,))),), [("node", Reason.NOT_PROXIED_YET)]),
        ((balanced(backing(ports=())),), [("node", Reason.NOT_PROXIED_YET)]),
    ],
)
def test_what_is_wrong_is_said(documents: tuple[Document, ...], reasons: list[tuple[str, Reason]]) -> None:
    assert reasons == [found for found in topics(cluster(*documents)) if found[1] is not None]


@pytest.mark.parametrize(("family", "reason"), [(4, None), (6, Reason.NO_SERVICE_PROXY)])
def test_a_prefix_covers_an_address_only_where_the_proxy_is_seen_for_its_family(
    family: int, reason: Reason | None
) -> None:
    both = settings(pool(aggregate=True), pool("2001:db8:f::/112", aggregate=True))
    sight = Sight(proxy=ProxyMode.NFTABLES, families=frozenset({family}))
    assert ("node", reason) in topics(cluster(balanced(), both, sight=sight))


def test_an_announcement_that_should_be_gone_is_told() -> None:
    desired = cluster(balanced(LOCAL))
    there = cluster(balanced()).state
    reasons = [line.reason for line in explain(PUBLIC, Scene(desired, dict(there)))]
    assert Reason.NOT_VERIFIED in reasons


STATUSES = [
    ((balanced(),), forwarding(WEB), (State.ACTIVE, None)),
    ((balanced(),), forwarding(), (State.DOWN, Reason.NOT_PROXIED_YET)),
    ((balanced(),), Sight(), (State.ERROR, Reason.NO_SERVICE_PROXY)),
    ((balanced(LOCAL),), forwarding(WEB), None),
    ((balanced(backing(ready=())),), forwarding(WEB), None),
    ((balanced(), Eligibility(node=HERE, excluded="labelled")), forwarding(WEB), None),
    ((balanced(), settings(pool(aggregate=True))), forwarding(WEB), None),
    ((balanced(), settings(pool("198.51.100.0/24"))), forwarding(WEB), None),
    ((msgspec.structs.replace(balanced(), backings=()),), forwarding(WEB), None),
]


@pytest.mark.parametrize(("documents", "sight", "said"), STATUSES)
def test_only_a_node_with_a_say_has_a_status(
    documents: tuple[Document, ...], sight: Sight, said: tuple[State, Reason | None] | None
) -> None:
    status = address_status(cluster(*documents, sight=sight).wanted(PUBLIC), Seen())
    assert said == (None if status is None else (status.state, status.reason))


def test_an_address_is_served_only_with_what_ends_its_packets() -> None:
    keys = cluster(balanced()).wanted(PUBLIC).keys
    assert {key(Table.STRAY, f"{PUBLIC}/32"), key(Table.ANNOUNCEMENT, f"{PUBLIC}/32")} == keys


def store(*documents: Document) -> Snapshot:
    """Return a store of a cluster of three whose nodes live and where 203.0.113.0/24 is announced by address."""
    known = [document for document in documents if type(document) is type(settings())] or [settings()]
    living = [Node(name=node) for node in (HERE, THERE, THIRD)]
    held = {path(document): document for document in (*EVERYWHERE, *living, *known, *documents)}
    return Snapshot(Identity("cluster", 1), held, {}, {})


NODES = ("status", "node", "old node")


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ((balanced(LOCAL), says(THERE)), [("status", "")]),
        ((balanced(LOCAL),), [("status", "not-verified")]),
        ((balanced(LOCAL), UNREADY), [("status", "not-proxied-yet")]),
        ((balanced(MOVING), says(THERE), says(HERE)), [("status", "")]),
        ((balanced(MOVING), says(HERE)), [("status", ""), ("status", "not-verified")]),
        ((balanced(LOCAL), says(THERE), says(THIRD)), [("status", ""), ("old node", "old-node-not-confirmed")]),
        ((balanced(LOCAL), says(THERE), says(THIRD), Fence(node=THIRD)), [("status", "")]),
        ((balanced(), *map(says, (HERE, THERE, THIRD))), [("status", "")]),
        ((balanced(), settings(pool(aggregate=True))), [("node", "")]),
        ((balanced(), settings(pool("198.51.100.0/24"))), [("node", "not-advertised")]),
        ((balanced(backing(ready=())),), [("node", "no-ready-endpoint")]),
        (
            (balanced(), *(Eligibility(node=n, excluded="off") for n in (HERE, THERE, THIRD))),
            [("node", "node-excluded")],
        ),
        ((msgspec.structs.replace(balanced(), backings=()), says(HERE)), [("old node", "old-node-not-confirmed")]),
    ],
)
def test_the_store_alone_tells_who_announces(documents: tuple[Document, ...], said: list[tuple[str, str]]) -> None:
    lines = remote_lines(PUBLIC, store(*documents))
    assert said == [(line["topic"], line["reason"]) for line in lines if line["topic"] in NODES]


def test_the_store_tells_services_and_endpoints_as_a_node_does() -> None:
    lines = remote_lines(PUBLIC, store(balanced()))
    assert ["document", "service", "endpoints"] == [line["topic"] for line in lines][:3]
    assert "ready on compute-1" == lines[2]["text"]


def test_a_node_that_died_is_not_counted_among_those_that_announce() -> None:
    snapshot = store(balanced(LOCAL), says(THERE))
    dead = {at: document for at, document in snapshot.documents.items() if at != f"nodes/{THERE}"}
    lines = remote_lines(PUBLIC, msgspec.structs.replace(snapshot, documents=dead))
    assert [("node", "node-without-agent")] == [(line["topic"], line["reason"]) for line in lines][3:]


def test_a_node_that_is_to_announce_is_no_old_one() -> None:
    assert [] == old_nodes(PUBLIC, store(balanced(MOVING), says(THERE), says(HERE)))


def test_a_cluster_without_nodes_announces_nothing() -> None:
    held = {path(document): document for document in (settings(), balanced())}
    lines = remote_lines(PUBLIC, Snapshot(Identity("cluster", 1), held, {}, {}))
    assert [("node", "node-excluded")] == [(line["topic"], line["reason"]) for line in lines][3:]
