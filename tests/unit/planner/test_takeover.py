# SPDX-License-Identifier: Apache-2.0
"""An address is announced with a better preference while a node that should not has not said it withdrew it."""

import pytest

from buoy.model import documents
from buoy.model.address import Address, Mac, Prefix, host_prefix
from buoy.model.documents import Document
from buoy.model.node import Fence
from buoy.model.nodestate import Announcement, Class, Table
from buoy.model.reason import Reason
from buoy.model.service_ip import Mode
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.model.workload import AddressPair
from buoy.planner.desired import Desired
from buoy.planner.elsewhere import Elsewhere, Word, word
from buoy.planner.index import announced_fact, announcers_fact
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here
from tests.unit.planner.cloud import (
    FIXED,
    HERE,
    OTHER_FIXED,
    SERVICE,
    SERVICE2,
    SUBNET,
    THERE,
    UP,
    endpoint,
    fixed,
    floating,
    key,
    mapped,
    no_guest,
    node,
    port,
    snapshot,
)


def said(address: Address = SERVICE, at: str = THERE, no: Reason | None = None) -> AddressStatus:
    """Return what a node says of an address: that it announces it, or why it does not."""
    programmed = no in (None, Reason.NO_ESTABLISHED_PEER)
    return AddressStatus(
        node=at, address=address, state=State.ACTIVE, programmed=programmed, announced=no is None, reason=no
    )


def preference(desired: Desired, address: Address = SERVICE) -> Class | None:
    """Return how an address is to be announced, None if it is not."""
    entry = desired.state.get(key(Table.ANNOUNCEMENT, host_prefix(address)))
    return entry.preference if isinstance(entry, Announcement) else None


BOTH = floating(endpoints=(endpoint(), endpoint(node=THERE, workload="port9")))
ANCHORED = floating(endpoints=(mapped(80), mapped(443, node=THERE, workload="port9")))

CASES: list[tuple[str, tuple[Document, ...], Class]] = [
    ("nobody else says a word", (floating(),), Class.NORMAL),
    ("this node's own word", (floating(), said(at=HERE)), Class.NORMAL),
    ("the old node still announces it", (floating(), said()), Class.TAKEOVER),
    ("the old node has no peer to tell", (floating(), said(no=Reason.NO_ESTABLISHED_PEER)), Class.TAKEOVER),
    ("the old node waits for the tap", (floating(), said(no=Reason.TAP_MISSING)), Class.TAKEOVER),
    ("the old node has lost what it leads to", (floating(), said(no=Reason.FIXED_IP_LEFT)), Class.NORMAL),
    ("the old node is fenced", (floating(), said(), Fence(node=THERE)), Class.NORMAL),
    ("one of two is fenced", (floating(), said(), said(at="compute-3"), Fence(node=THERE)), Class.TAKEOVER),
    ("another one is fenced", (floating(), said(), Fence(node="compute-3")), Class.TAKEOVER),
    ("another address of the old node", (floating(), said(SERVICE2)), Class.NORMAL),
    ("both serve it", (BOTH, said()), Class.NORMAL),
    ("both serve it, a third did", (BOTH, said(), said(at="compute-3")), Class.TAKEOVER),
    ("ports lead there, this node is the anchor", (ANCHORED, said()), Class.TAKEOVER),
]


@pytest.mark.parametrize(("wanted", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_floating_ip(wanted: tuple[Document, ...], expected: Class) -> None:
    assert expected is preference(node(port(), *wanted))


def test_a_fixed_ip_that_came_with_its_port() -> None:
    assert (Class.TAKEOVER, Class.NORMAL) == (
        preference(node(port(), said(FIXED)), FIXED),
        preference(node(port(), said(OTHER_FIXED)), FIXED),
    )


def test_a_fixed_ip_that_ports_on_both_nodes_are_to_have() -> None:
    routed = floating(address=FIXED, mode=Mode.ROUTED, endpoints=BOTH.endpoints)
    assert Class.NORMAL is preference(node(port(), routed, said(FIXED)), FIXED)


def test_an_allowed_pair_may_rightly_be_announced_from_several_nodes() -> None:
    pair = AddressPair(prefix=Prefix(f"{OTHER_FIXED}/32"), mac=Mac("fa:16:3e:00:00:0a"))
    desired = node(port(pairs=(pair,)), SUBNET, said(OTHER_FIXED))
    assert Class.NORMAL is preference(desired, OTHER_FIXED)


def test_a_draining_node_takes_over_too_or_what_is_to_be_reached_here_is_not() -> None:
    desired = Desired(Here(HERE, no_guest, Class.DRAIN))
    desired.update(snapshot(port(), floating(), said(FIXED)), None, Sight({"tap1": UP}))
    assert (Class.DRAIN, Class.TAKEOVER) == (preference(desired), preference(desired, FIXED))


def test_one_status_computes_whoever_has_the_address_and_changes_its_announcement_alone() -> None:
    desired = node(port(), floating())
    before, computed = dict(desired.state), desired.computed
    path = documents.path(said())
    assert (True, False) == (desired.concerns(path), desired.concerns(documents.path(said(SERVICE2))))
    desired.update(snapshot(port(), floating(), said()), frozenset({path}), Sight({"tap1": UP}))
    assert {key(Table.ANNOUNCEMENT, host_prefix(SERVICE)): Announcement("tap1", Class.TAKEOVER)} == {
        at: entry for at, entry in desired.state.items() if before[at] != entry
    }
    assert 1 == desired.computed - computed
    desired.update(snapshot(port(), floating()), frozenset({path}), Sight({"tap1": UP}))
    assert (before, 2) == (dict(desired.state), desired.computed - computed)


def test_a_status_of_an_address_that_is_not_here_computes_nothing() -> None:
    desired = node(port(fixed_ips=(fixed(FIXED),)), floating())
    computed = desired.computed
    other = said(SERVICE2)
    touched = desired.update(
        snapshot(port(), floating(), other), frozenset({documents.path(other)}), Sight({"tap1": UP})
    )
    assert (0, frozenset(), frozenset()) == (desired.computed - computed, touched.keys, touched.addresses)


def test_a_status_that_says_the_same_in_other_words_is_no_news() -> None:
    elsewhere = Elsewhere(HERE)
    path = documents.path(said())
    facts = (announcers_fact(SERVICE), announced_fact(SERVICE))
    assert [facts, (), facts, ()] == [
        elsewhere.take(path, said()),
        elsewhere.take(path, said()),
        elsewhere.take(path, None),
        elsewhere.take(path, None),
    ]
    assert ({}, {}) == (elsewhere.announcers, elsewhere.announced)


def test_only_statuses_of_addresses_are_words_about_one() -> None:
    workload = documents.path(WorkloadStatus(node=THERE, workload="port1", state=State.ACTIVE))
    assert [Word(THERE, SERVICE), None, None] == [word(documents.path(said())), word(workload), word("nodes/compute-2")]
