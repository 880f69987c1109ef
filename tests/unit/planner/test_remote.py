# SPDX-License-Identifier: Apache-2.0
"""An address explained by the store alone: what is wanted, and what the nodes said."""

import msgspec
import pytest

from buoy.model.address import Address, Mac, Prefix, host_prefix
from buoy.model.documents import Document, path
from buoy.model.node import Fence, Node
from buoy.model.pool import Pool, Range
from buoy.model.proxied import Eligibility
from buoy.model.reason import Reason
from buoy.model.service_ip import Attachment, Mode, Owner
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.model.workload import AddressPair
from buoy.planner.remote import old_nodes, remote_lines
from tests.unit.planner.cloud import FIXED, HERE, SERVICE, THERE, endpoint, floating, mapped, port

ALIVE, ALIVE_THERE = Node(name=HERE), Node(name=THERE)
SERVED = AddressStatus(node=HERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True)
LEFT = AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True)
BAD = AddressStatus(
    node=HERE, address=SERVICE, state=State.ERROR, reason=Reason.NO_ESTABLISHED_PEER, details={"node": HERE}
)


OWNER = Owner(kind="Pod", namespace="shop", name="db-0")


def store(*documents: Document) -> Snapshot:
    return Snapshot(Identity("etcd", 1), {path(document): document for document in documents}, {}, {})


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ((), [("document", "unknown-address")]),
        ((floating(endpoints=()),), [("document", ""), ("binding", "unbound")]),
        ((floating(endpoints=(), owners=(OWNER,)),), [("document", ""), ("binding", "owner-away")]),
        ((floating(endpoints=(endpoint(node=""),)),), [("document", ""), ("binding", "port-unbound")]),
        ((floating(endpoints=(endpoint(node="", driver="ovn"),)),), [("document", ""), ("binding", "other-driver")]),
        ((floating(),), [("document", ""), ("binding", ""), ("node", "node-without-agent")]),
        ((floating(), SERVED), [("document", ""), ("binding", ""), ("node", "node-without-agent")]),
        ((floating(), ALIVE), [("document", ""), ("binding", ""), ("status", "not-verified")]),
        ((floating(), ALIVE, SERVED), [("document", ""), ("binding", ""), ("status", "")]),
        ((floating(), ALIVE, BAD), [("document", ""), ("binding", ""), ("status", "no-established-peer")]),
        (
            (floating(), ALIVE, SERVED, LEFT),
            [("document", ""), ("binding", ""), ("status", ""), ("old node", "old-node-not-confirmed")],
        ),
        ((floating(), ALIVE, SERVED, LEFT, Fence(node=THERE)), [("document", ""), ("binding", ""), ("status", "")]),
        ((LEFT,), [("document", "unknown-address"), ("old node", "old-node-not-confirmed")]),
    ],
)
def test_a_service_ip(documents: tuple[Document, ...], said: list[tuple[str, str]]) -> None:
    lines = remote_lines(SERVICE, store(*documents))
    assert said == [(line["topic"], line["reason"]) for line in lines]
    assert [not reason for _, reason in said] == [line["ok"] for line in lines]


def test_of_mapped_endpoints_only_the_anchor_is_asked_for_a_report() -> None:
    service = floating(endpoints=(mapped(8001), mapped(8002, node=THERE), mapped(8003)))
    lines = remote_lines(SERVICE, store(service, ALIVE, ALIVE_THERE, SERVED))
    assert [("document", ""), ("binding", ""), ("binding", ""), ("status", "")] == [
        (line["topic"], line["reason"]) for line in lines
    ]


def test_a_fixed_ip_is_explained_by_its_port() -> None:
    lines = remote_lines(FIXED, store(port(), ALIVE))
    assert "fixed IP of port port1, routed without NAT to tap1" == lines[0]["text"]
    assert ["document", "status"] == [line["topic"] for line in lines]


PAIR = (AddressPair(prefix=host_prefix(SERVICE), mac=Mac("02:00:00:00:00:99")),)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ((port(pairs=PAIR), ALIVE, SERVED), [("document", ""), ("status", "")]),
        ((port(pairs=PAIR), ALIVE), [("document", ""), ("status", "not-verified")]),
        (
            (port(pairs=PAIR), port(pairs=PAIR, id="port2", node=THERE), ALIVE, ALIVE_THERE, SERVED),
            [("document", ""), ("document", ""), ("status", "")],
        ),
    ],
    ids=["routed", "not yet", "on one of two"],
)
def test_an_allowed_address_pair_is_explained_by_its_port(
    documents: tuple[Document, ...], said: list[tuple[str, str]]
) -> None:
    held = store(*documents)
    lines = remote_lines(SERVICE, held)
    assert said == [(line["topic"], line["reason"]) for line in lines]
    assert "allowed address pair of port port1" in lines[0]["text"]
    assert [] == old_nodes(SERVICE, held)


def test_of_a_pair_that_is_anothers_fixed_ip_both_ports_are_named_and_nothing_is_wrong_with_the_address() -> None:
    asking = port(pairs=(AddressPair(prefix=host_prefix(FIXED), mac=Mac("02:00:00:00:00:99"), owner="port1"),))
    rival = msgspec.structs.replace(asking, id="port2", node=THERE, fixed_ips=())
    served = AddressStatus(node=HERE, address=FIXED, state=State.ACTIVE, programmed=True, announced=True)
    withheld = AddressStatus(
        node=THERE,
        address=FIXED,
        state=State.DOWN,
        reason=Reason.PAIR_OWNED,
        details={"workload": "port2", "node": THERE, "address": FIXED, "owner": "port1"},
    )
    lines = remote_lines(FIXED, store(port(), rival, ALIVE, ALIVE_THERE, served, withheld))
    assert [("document", True), ("status", True), ("pair", True)] == [(line["topic"], line["ok"]) for line in lines]
    said = f"{FIXED}, an allowed address pair of port port2 on {THERE}, goes to port port1, whose fixed IP it is"
    assert lines[-1]["text"].startswith(f"{said}; take the pair from port2; or,")


def test_a_no_has_its_sentence_and_its_remedy() -> None:
    line = remote_lines(SERVICE, store(floating()))[-1]
    assert line["text"].startswith(f"{HERE} has no living buoy agent; on {HERE}: systemctl status buoy-agent")


def test_what_an_old_node_says_is_told_beside_what_the_new_one_sees() -> None:
    snapshot = store(floating(), ALIVE, ALIVE_THERE, SERVED, LEFT)
    assert ["old-node-not-confirmed"] == [line["reason"] for line in old_nodes(SERVICE, snapshot)]
    told = AddressStatus(node=HERE, address=FIXED, state=State.ACTIVE, announced=True)
    assert [] == old_nodes(FIXED, store(port(), ALIVE, told))


def test_an_old_node_that_could_not_withdraw_says_why() -> None:
    held = AddressStatus(
        node=THERE, address=SERVICE, state=State.ERROR, announced=True, reason=Reason.HELD_BY_GUARD, details={}
    )
    reasons = [line["reason"] for line in old_nodes(SERVICE, store(floating(), held))]
    assert ["old-node-not-confirmed", "held-by-guard"] == reasons


def test_an_old_node_that_withdrew_but_cannot_sweep_says_only_why() -> None:
    left = AddressStatus(node=THERE, address=SERVICE, state=State.ERROR, reason=Reason.NOT_VERIFIED, details={})
    assert ["not-verified"] == [line["reason"] for line in old_nodes(SERVICE, store(floating(), left))]


def test_what_is_attached_to_the_host_is_no_port() -> None:
    pod = endpoint(workload="shop/db-0", attached=Attachment.HOST)
    lines = {line["topic"]: line["text"] for line in remote_lines(SERVICE, store(floating(endpoints=(pod,))))}
    assert "shop/db-0 at 192.0.2.1, on compute-1" == lines["binding"]


POOL = Pool(name="public", prefixes=(Prefix("198.51.100.0/28"),))
NARROW = Pool(name="public", prefixes=(), ranges=(Range(first=Address("198.51.100.2"), last=Address("198.51.100.9")),))


@pytest.mark.parametrize(
    ("pools", "said", "ok"),
    [
        ((), "drawn from pool public, which is not there any more; make it again", False),
        ((POOL,), "public (198.51.100.0/28), books kept by store", True),
        (
            (NARROW,),
            "public (198.51.100.2-198.51.100.9), books kept by store, which does not contain 198.51.100.1",
            False,
        ),
    ],
)
def test_the_pool_of_an_address_is_told(pools: tuple[Document, ...], said: str, ok: bool) -> None:
    for mode in Mode:
        line = remote_lines(SERVICE, store(floating(pool="public", mode=mode), *pools))[1]
        assert ("pool", said, ok) == (line["topic"], line["text"], line["ok"])


def test_of_an_address_that_nobody_has_its_pool_is_told() -> None:
    other = Pool(name="other", prefixes=(Prefix("203.0.113.0/24"),))
    lines = remote_lines(SERVICE, store(POOL, other))
    assert ["public (198.51.100.0/28) contains it, and has given it to nobody"] == [
        line["text"] for line in lines if line["topic"] == "pool"
    ]
    assert [True, False] == [line["ok"] for line in lines]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Eligibility(node=HERE, addresses=(SERVICE,)), [f"it is an address of {HERE} itself"]),
        (Eligibility(node=HERE, prefixes=(Prefix("198.51.100.0/24"),)), [f"it is an address for pods on {HERE}"]),
        (Eligibility(node=HERE), []),
    ],
)
def test_in_a_cluster_an_unknown_address_is_looked_for_among_its_own(node: Eligibility, said: list[str]) -> None:
    *before, last = remote_lines(SERVICE, store(node))
    assert said == [line["text"] for line in before]
    assert ("unknown-in-cluster", True) == (last["reason"], "kubectl get services" in last["text"])
