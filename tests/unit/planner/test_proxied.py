# SPDX-License-Identifier: Apache-2.0
"""Where a proxied service IP is announced, as what, and why it is not: policy, endpoints, eligibility, the proxy."""

import datetime as dt

import msgspec
import pytest

from buoy.model.address import host_prefix
from buoy.model.documents import Document
from buoy.model.nodestate import Announcement, Class, Stray, Table
from buoy.model.proxied import Eligibility, Kind, ProxyMode, ProxyPort
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Owner
from buoy.planner.desired import Desired
from buoy.planner.placement import serving, unbound
from buoy.planner.sight import Sight, Stir
from tests.unit.planner.cloud import HERE, THERE, key, only, snapshot
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

LOCAL_HERE, LOCAL_THERE = backing(local=True), backing(local=True, ready=(THERE,))
LEAVING = backing(local=True, ready=(), draining=(HERE,))
MOVING = backing(local=True, ready=(THERE,), draining=(HERE,))
ABOUT = {"address": PUBLIC, "service": "shop/web", "namespace": "shop"}


def announced(desired: Desired) -> Class | None:
    """Return as what the address is announced, None if it is not."""
    found = only(desired, Table.ANNOUNCEMENT).get(key(Table.ANNOUNCEMENT, host_prefix(PUBLIC)))
    stray = only(desired, Table.STRAY).get(key(Table.STRAY, host_prefix(PUBLIC)))
    assert (found and Stray()) == stray
    if found is None:
        return None
    assert isinstance(found, Announcement)
    assert found.interface is None
    return found.preference


def no(*documents: Document, sight: Sight | None = None) -> Withhold | None:
    """Return why the address is not announced; then nothing of it is wanted."""
    desired = cluster(*documents, sight=sight)
    verdict = desired.verdicts[PUBLIC]
    assert (announced(desired) is None) == (verdict is not None)
    return verdict


PLACES = [
    ("Cluster, an endpoint here", (balanced(),), {HERE, THERE, THIRD}),
    ("Cluster, an endpoint there", (balanced(backing(ready=(THERE,))),), {HERE, THERE, THIRD}),
    ("Cluster, an endpoint of no node", (balanced(backing(ready=(), elsewhere=True)),), {HERE, THERE, THIRD}),
    ("Cluster, the last endpoint leaves", (balanced(backing(ready=(), draining=(THERE,))),), {HERE, THERE, THIRD}),
    ("Cluster, no endpoint", (balanced(backing(ready=())),), set()),
    ("Local", (balanced(LOCAL_HERE),), {HERE}),
    ("Local, endpoints on two nodes", (balanced(backing(local=True, ready=(HERE, THIRD))),), {HERE, THIRD}),
    ("Local, an endpoint of no node", (balanced(backing(local=True, ready=(), elsewhere=True)),), set()),
    ("Local, the last endpoint leaves", (balanced(LEAVING),), {HERE}),
    ("Local, an endpoint moves", (balanced(MOVING),), {HERE, THERE}),
    ("an excluded node", (balanced(), Eligibility(node=HERE, excluded="it is labelled")), {THERE, THIRD}),
    (
        "two Services, some nodes serve both",
        (balanced(backing(local=True, ready=(HERE, THERE)), backing(service="shop/dns", local=True, ready=(THERE,))),),
        {THERE},
    ),
    ("two Services, one of Cluster", (balanced(LOCAL_HERE, backing(service="shop/dns")),), {HERE}),
    (
        "two Services, no node serves both",
        (balanced(LOCAL_HERE, backing(service="shop/dns", local=True, ready=(THIRD,))),),
        {HERE, THIRD},
    ),
    (
        "two Services, the only node that serves both is excluded",
        (
            balanced(
                backing(local=True, ready=(HERE, THERE)), backing(service="x/y", local=True, ready=(THERE, THIRD))
            ),
            Eligibility(node=THERE, excluded="it is labelled"),
        ),
        {HERE, THIRD},
    ),
    (
        "two Services, one without endpoint",
        (balanced(backing(service="shop/dns", ready=(), ports=(DNS,)), LOCAL_HERE),),
        {HERE},
    ),
    (
        "two Services, one not advertised",
        (balanced(backing(kind=Kind.EXTERNAL, local=True, ready=(THERE,), ports=(DNS,)), LOCAL_HERE),),
        {HERE},
    ),
]


@pytest.mark.parametrize(("documents", "places"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_a_service_is_announced_from_the_nodes_that_serve_it(documents: tuple[Document, ...], places: set[str]) -> None:
    assert places == {node for node in (HERE, THERE, THIRD) if announced(cluster(*documents, at=node)) is not None}


def test_what_somebody_was_given_is_announced_though_its_pool_is_gone() -> None:
    given = msgspec.structs.replace(balanced(), owners=(Owner(kind="Service", namespace="shop", name="web"),))
    assert Class.NORMAL is announced(cluster(given, settings(pool("198.51.100.0/24"))))
    released = msgspec.structs.replace(given, released=dt.datetime(2026, 11, 21, tzinfo=dt.UTC))
    assert None is announced(cluster(released, settings(pool("198.51.100.0/24"))))


NOES = [
    (
        "advertised nowhere",
        (balanced(), settings(pool("198.51.100.0/24"))),
        Reason.NOT_ADVERTISED,
        {"kind": "load-balancer"},
    ),
    (
        "advertised for another kind",
        (balanced(), settings(pool(kinds=(Kind.EXTERNAL,)))),
        Reason.NOT_ADVERTISED,
        {"kind": "load-balancer"},
    ),
    (
        "inside an aggregate",
        (balanced(), settings(pool(aggregate=True))),
        Reason.COVERED_BY_AGGREGATE,
        {"prefix": "203.0.113.0/24"},
    ),
    (
        "on an excluded node",
        (balanced(), Eligibility(node=HERE, excluded="it is labelled")),
        Reason.NODE_EXCLUDED,
        {"node": HERE, "cause": "it is labelled"},
    ),
    ("without endpoint", (balanced(backing(ready=())),), Reason.NO_READY_ENDPOINT, {"node": HERE}),
    ("Local, endpoint there", (balanced(LOCAL_THERE),), Reason.NO_LOCAL_ENDPOINT, {"node": HERE, "nodes": THERE}),
    (
        "Local, endpoint leaves there",
        (balanced(backing(local=True, ready=(), draining=(THERE,))),),
        Reason.NO_LOCAL_ENDPOINT,
        {"node": HERE, "nodes": THERE},
    ),
    (
        "Local, endpoint nowhere known",
        (balanced(backing(local=True, ready=(), elsewhere=True)),),
        Reason.NO_LOCAL_ENDPOINT,
        {"node": HERE, "nodes": "no node"},
    ),
    (
        "Local, endpoints on many nodes",
        (balanced(backing(local=True, ready=("a", "b", "c", "d", "e", "f", "g"))),),
        Reason.NO_LOCAL_ENDPOINT,
        {"node": HERE, "nodes": "a, b, c, d, e and 2 more"},
    ),
]


@pytest.mark.parametrize(("documents", "reason", "details"), [row[1:] for row in NOES], ids=[row[0] for row in NOES])
def test_a_no_says_why(documents: tuple[Document, ...], reason: Reason, details: dict[str, str]) -> None:
    assert Withhold(reason, {**ABOUT, **details}) == no(*documents)


def test_a_node_of_which_the_cluster_knows_nothing_attracts_nothing() -> None:
    desired = cluster(balanced())
    others = (each for each in EVERYWHERE if each.node != HERE)
    desired.update(snapshot(settings(), balanced(), *others), frozenset({f"eligibility/{HERE}"}), forwarding(WEB))
    cause = {"node": HERE, "cause": "it is no node of the cluster"}
    assert Withhold(Reason.NODE_EXCLUDED, {**ABOUT, **cause}) == desired.verdicts[PUBLIC]


@pytest.mark.parametrize(
    "documents",
    [
        (balanced(backing(host_route=True)), settings(pool(aggregate=True))),
        (balanced(LOCAL_HERE), settings(pool(aggregate=True))),
        (balanced(), settings(pool(f"{PUBLIC}/32", aggregate=True))),
        (balanced(), settings(pool(), pool("203.0.0.0/16", aggregate=True))),
    ],
    ids=["asked for", "Local", "its prefix is a host's", "the longest prefix is none"],
)
def test_an_address_inside_an_aggregate_may_have_a_route_of_its_own(documents: tuple[Document, ...]) -> None:
    assert Class.NORMAL is announced(cluster(*documents))


def test_of_two_prefixes_the_longest_of_the_kind_counts() -> None:
    documents = (balanced(), settings(pool("203.0.113.0/28", aggregate=True), pool("203.0.113.0/30", kinds=()), pool()))
    withheld = no(*documents)
    assert withheld is not None
    assert (Reason.COVERED_BY_AGGREGATE, "203.0.113.0/28") == (withheld.reason, withheld.details["prefix"])


def test_a_node_with_a_terminating_endpoint_keeps_the_address_as_its_last_resort() -> None:
    assert Class.DRAIN is announced(cluster(balanced(LEAVING)))


def test_it_goes_when_a_node_with_a_ready_endpoint_says_that_it_announces() -> None:
    assert Class.DRAIN is announced(cluster(balanced(MOVING)))
    assert Class.DRAIN is announced(cluster(balanced(MOVING), says(THERE, announced=False)))
    assert Class.DRAIN is announced(cluster(balanced(MOVING), says(THIRD)))
    expected = Withhold(Reason.NO_LOCAL_ENDPOINT, {**ABOUT, "node": HERE, "nodes": THERE})
    assert expected == no(balanced(MOVING), says(THERE))


def test_two_nodes_with_terminating_endpoints_do_not_wait_for_each_other() -> None:
    both = backing(local=True, ready=(), draining=(HERE, THERE))
    assert Class.DRAIN is announced(cluster(balanced(both), says(THERE)))


def test_the_word_of_the_other_node_is_heard_at_once() -> None:
    desired = cluster(balanced(MOVING))
    path = f"status/{THERE}/address/{PUBLIC}"
    assert desired.concerns(path)
    documents = snapshot(settings(), *EVERYWHERE, balanced(MOVING), says(THERE))
    touched = desired.update(documents, frozenset({path}), forwarding(WEB))
    assert (None, frozenset({PUBLIC})) == (announced(desired), touched.addresses)
    assert not cluster(balanced()).concerns(path)


GATE = [
    ("nothing is forwarded", (), (), None, "tcp 80, tcp 443"),
    ("one of two ports is forwarded", (WEB,), (), None, "tcp 443"),
    ("one of two ports is refused", (WEB,), (TLS,), None, "tcp 443"),
    ("another port is forwarded", (DNS,), (), None, "tcp 80, tcp 443"),
    ("both are forwarded", (WEB, TLS), (), None, ""),
    ("both and more are forwarded", (WEB, TLS, DNS), (), None, ""),
    ("announced, a new port is not forwarded yet", (WEB,), (), (WEB,), ""),
    ("announced, a new port is refused", (WEB,), (TLS,), (WEB,), ""),
    ("announced, a port that went was one of another Service", (WEB,), (), (WEB, DNS), ""),
    ("announced, a port that was relied on vanished", (WEB,), (), (WEB, TLS), "tcp 443"),
    ("announced, a port that was relied on is refused", (WEB,), (TLS,), (WEB, TLS), "tcp 443"),
    ("announced, all vanished", (), (), (WEB, TLS), "tcp 80, tcp 443"),
    ("announced before, nothing forwarded ever", (), (), (), "tcp 80, tcp 443"),
]


@pytest.mark.parametrize(
    ("forwarded", "refused", "relied", "missing"), [row[1:] for row in GATE], ids=[row[0] for row in GATE]
)
def test_only_what_forwards_is_announced(
    forwarded: tuple[ProxyPort, ...],
    refused: tuple[ProxyPort, ...],
    relied: tuple[ProxyPort, ...] | None,
    missing: str,
) -> None:
    service = balanced(backing(ports=(WEB, TLS)))
    expected = Withhold(Reason.NOT_PROXIED_YET, {**ABOUT, "node": HERE, "missing": missing}) if missing else None
    assert expected == no(service, sight=forwarding(*forwarded, refused=refused, relied=relied))


def test_of_what_is_missing_the_refused_ports_are_named_first() -> None:
    withheld = no(balanced(backing(ports=(WEB, TLS))), sight=forwarding(refused=[TLS]))
    assert withheld is not None
    assert "tcp 443" == withheld.details["missing"]


def test_a_service_without_ports_is_never_announced() -> None:
    withheld = no(balanced(backing(ports=())))
    assert Withhold(Reason.NOT_PROXIED_YET, {**ABOUT, "node": HERE, "missing": "any port"}) == withheld


def test_without_a_service_proxy_nothing_is_announced() -> None:
    sight = Sight(proxying=forwarding(WEB).proxying)
    assert Withhold(Reason.NO_SERVICE_PROXY, {**ABOUT, "node": HERE}) == no(balanced(), sight=sight)


def test_a_proxy_that_nobody_is_to_look_at_is_believed() -> None:
    assert None is no(balanced(), sight=Sight(proxy=ProxyMode.UNCHECKED))


def test_a_port_of_a_service_that_is_served_elsewhere_does_not_count() -> None:
    other = backing(service="shop/dns", local=True, ready=(THIRD,), ports=(DNS,))
    assert None is no(balanced(LOCAL_HERE, other))


def test_what_the_proxy_does_is_heard_for_its_address_alone() -> None:
    desired = cluster(balanced(), sight=forwarding())
    documents = snapshot(settings(), *EVERYWHERE, balanced())
    before = desired.computed
    desired.update(documents, frozenset(), forwarding(WEB), Stir(proxied=frozenset({PUBLIC})))
    assert (Class.NORMAL, 1) == (announced(desired), desired.computed - before)
    desired.update(documents, frozenset(), Sight(), Stir(proxy=True))
    assert None is announced(desired)


def test_the_nodes_with_an_endpoint_serve_an_address_and_without_any_it_says_why() -> None:
    both = balanced(backing(ready=(HERE,)), backing(service="shop/dns", ready=(), draining=(THIRD,)))
    assert frozenset({HERE, THIRD}) == serving(both)
    empty, kept = balanced(backing(ready=())), msgspec.structs.replace(balanced(), backings=())
    assert (frozenset(), Withhold(Reason.NO_READY_ENDPOINT, ABOUT)) == (serving(empty), unbound(empty))
    assert (frozenset(), Withhold(Reason.NO_SERVICE, {"address": PUBLIC})) == (serving(kept), unbound(kept))
