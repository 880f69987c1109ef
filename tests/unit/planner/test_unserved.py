# SPDX-License-Identifier: Apache-2.0
"""Of which addresses it is said that no node is to serve them, and of which it is not."""

import pytest

from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.node import Node
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Eligibility, Kind, ProxyPort
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Mode, Owner, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.planner.unserved import unannounced, unserved
from tests.unit.planner.cloud import HERE, THERE, floating, port
from tests.unit.planner.cluster import EVERYWHERE, PUBLIC, THIRD, backing, balanced, pool, says, settings

ADDRESS = Address("203.0.113.7")
OWNER = Owner(kind="Service", namespace="shop", name="web")
ADVERTISED = BGPSettings(advertise=(Advertised(prefix=Prefix("203.0.113.0/24"), kinds=(Kind.LOAD_BALANCER,)),))


def proxied(*, owners: tuple[Owner, ...] = (OWNER,), **standing: object) -> ServiceIP:
    ports = (ProxyPort("tcp", 80),)
    known = {"service": "shop/web", "kind": Kind.LOAD_BALANCER, "ports": ports, **standing}
    backing = Backing(**known)  # type: ignore[arg-type]
    return ServiceIP(address=ADDRESS, mode=Mode.PROXIED, backings=(backing,), owners=owners)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ((floating(endpoints=()),), Reason.UNBOUND),
        ((floating(), port()), None),
        ((proxied(ready=("node-1",)), ADVERTISED), None),
        ((proxied(elsewhere=True), ADVERTISED), None),
        ((proxied(), ADVERTISED), Reason.NO_READY_ENDPOINT),
        ((proxied(ready=("node-1",)),), None),
        ((proxied(kind=Kind.EXTERNAL, ready=("node-1",)),), Reason.NOT_ADVERTISED),
        ((proxied(owners=()),), None),
        ((ServiceIP(address=ADDRESS, mode=Mode.PROXIED, owners=(OWNER,)), ADVERTISED), Reason.NO_SERVICE),
    ],
)
def test_what_is_said_where_no_node_says_anything(wanted: tuple[Document, ...], reason: Reason | None) -> None:
    found = {documents.path(document): document for document in wanted}
    told = [withheld.reason for _, withheld in unserved(Snapshot(Identity("", 0), found, {}, {}))]
    assert ([reason] if reason else []) == told


LOCAL = balanced(backing(local=True, ready=(HERE,)))
CLUSTER = balanced(backing(ready=(HERE,)))
LIVING = tuple(Node(name=name) for name in (HERE, THERE, THIRD))
OUT = Eligibility(node=HERE, excluded="labelled")
ALL_OUT = tuple(Eligibility(node=each.node, excluded="labelled") for each in EVERYWHERE)
AGGREGATE = settings(pool(aggregate=True))
UNFORWARDED = AddressStatus(node=HERE, address=PUBLIC, state=State.DOWN, reason=Reason.NOT_PROXIED_YET)


def store(*wanted: Document) -> Snapshot:
    """Return a store of a cluster of three living nodes that advertises 203.0.113.0/24 address by address."""
    held = (*EVERYWHERE, *LIVING, settings(), *wanted)
    return Snapshot(Identity("", 0), {documents.path(document): document for document in held}, {}, {})


@pytest.mark.parametrize(
    ("wanted", "reason", "node"),
    [
        ((LOCAL, says(HERE)), None, ""),
        ((LOCAL, OUT), Reason.NODE_EXCLUDED, HERE),
        ((LOCAL, OUT, says(HERE)), None, ""),
        ((LOCAL, *ALL_OUT), Reason.NODE_EXCLUDED, HERE),
        ((CLUSTER, *ALL_OUT), Reason.NODE_EXCLUDED, HERE),
        ((CLUSTER, OUT, says(THERE)), None, ""),
        ((balanced(backing(ready=())),), Reason.NO_READY_ENDPOINT, HERE),
        ((balanced(backing(ready=(), elsewhere=True, local=True)),), Reason.NO_LOCAL_ENDPOINT, HERE),
        ((CLUSTER, AGGREGATE), None, ""),
        ((CLUSTER, AGGREGATE, OUT), None, ""),
        ((CLUSTER, AGGREGATE, *ALL_OUT), Reason.NODE_EXCLUDED, HERE),
        ((balanced(backing(kind=Kind.EXTERNAL), owners=(OWNER,)),), Reason.NOT_ADVERTISED, ""),
        ((balanced(backing(kind=Kind.CLUSTER)),), None, ""),
    ],
)
def test_an_address_that_no_node_is_to_announce_is_named_with_what_keeps_the_likeliest(
    wanted: tuple[Document, ...], reason: Reason | None, node: str
) -> None:
    for told in (unserved, unannounced):
        found = [(no.reason, no.details.get("node", "")) for _, no in told(store(*wanted))]
        assert ([(reason, node)] if reason else []) == found


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ((LOCAL, UNFORWARDED), Reason.NOT_PROXIED_YET),
        ((LOCAL,), Reason.NOT_VERIFIED),
        ((LOCAL, says(HERE, announced=False)), Reason.NOT_VERIFIED),
    ],
)
def test_an_address_that_a_node_is_to_announce_and_does_not_is_named(
    wanted: tuple[Document, ...], reason: Reason
) -> None:
    snapshot = store(*wanted)
    assert [reason] == [withheld.reason for _, withheld in unannounced(snapshot)]
    assert [] == list(unserved(snapshot))


def test_a_prefix_that_no_kube_proxy_stands_behind_leaves_its_services_unannounced() -> None:
    details = {"address": "203.0.113.0/24"}
    said = [str(Withhold(Reason.NO_SERVICE_PROXY, {**details, "node": each.node})) for each in EVERYWHERE]
    blind = [Node(name=each.node, problems=(words,)) for each, words in zip(EVERYWHERE, said, strict=True)]
    [(_, withheld)] = unannounced(store(CLUSTER, AGGREGATE, *blind))
    assert (Reason.NO_SERVICE_PROXY, said[0]) == (withheld.reason, str(withheld))
    assert [] == list(unannounced(store(CLUSTER, AGGREGATE, *blind[1:])))
    assert 1 == len(list(unannounced(store(CLUSTER, AGGREGATE, OUT, *blind[1:]))))


@pytest.mark.parametrize(("prefix", "reasons"), [("203.0.113.0/24", [Reason.NO_SERVICE_PROXY]), ("2001:db8::/64", [])])
def test_a_prefix_whose_family_alone_is_not_forwarded_leaves_its_services_unannounced(
    prefix: str, reasons: list[Reason]
) -> None:
    both = settings(pool(aggregate=True), pool("2001:db8::/64", aggregate=True))
    said = [str(Withhold(Reason.NO_SERVICE_PROXY, {"node": each.node, "address": prefix})) for each in EVERYWHERE]
    blind = [Node(name=each.node, problems=(words,)) for each, words in zip(EVERYWHERE, said, strict=True)]
    assert reasons == [withheld.reason for _, withheld in unannounced(store(CLUSTER, both, *blind))]


def test_where_no_agent_lives_that_is_what_is_said() -> None:
    snapshot = store(LOCAL)
    dead = {at: document for at, document in snapshot.documents.items() if not isinstance(document, Node)}
    [(_, withheld)] = unannounced(Snapshot(Identity("", 0), dead, {}, {}))
    assert (Reason.NODE_WITHOUT_AGENT, HERE) == (withheld.reason, withheld.details["node"])


def test_what_only_a_dead_agent_announces_is_missed_if_nobody_is_to_announce_it() -> None:
    for wanted, reasons in ((LOCAL, []), (balanced(backing(ready=())), [Reason.NO_READY_ENDPOINT])):
        snapshot = store(wanted, says(HERE))
        held = {at: document for at, document in snapshot.documents.items() if at != f"nodes/{HERE}"}
        told = unannounced(Snapshot(Identity("", 0), held, {}, {}))
        assert reasons == [withheld.reason for _, withheld in told]


def test_an_address_that_is_only_kept_is_not_missed() -> None:
    kept = ServiceIP(address=PUBLIC, mode=Mode.PROXIED, owners=(OWNER,))
    assert [] == list(unannounced(store(kept, floating(endpoints=()))))
