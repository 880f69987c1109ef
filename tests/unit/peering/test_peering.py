# SPDX-License-Identifier: Apache-2.0
"""Whom a node speaks with, and under which names."""

import msgspec
import pytest

from buoy.model.address import Address, Prefix
from buoy.model.documents import Document, path
from buoy.model.errors import InvalidInput
from buoy.model.node import Fence, Node
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, NextHop, Peer
from buoy.model.pool import Pool
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.peering import Speaking, speaking, wish
from buoy.planner.peering_names import outward, symbol
from buoy.planner.peering_sessions import LocalNode, PeeringWish, Session

V4, V6 = Address("192.0.2.3"), Address("2001:db8::3")
LOCAL = LocalNode(name="compute-1", addresses=(V4, V6))
OTHERS = {
    "compute-1": LOCAL.addresses,
    "compute-2": (Address("192.0.2.4"), Address("192.0.2.44"), Address("2001:db8::4")),
    "old": (Address("192.0.2.9"),),
}
TOR = Peer(name="tor", address=Address("192.0.2.1"), asn=64999)


def _speaking(*peers: Peer, local: LocalNode = LOCAL, **more: object) -> Speaking:
    return speaking(local, msgspec.structs.replace(PeeringWish(peers=peers), **more))


def _ends(found: Speaking) -> dict[str, tuple[str, str]]:
    return {session.name: (session.local, session.remote) for session in found.sessions}


def _snapshot(*documents: Document) -> Snapshot:
    return Snapshot(Identity("test", 1), {path(each): each for each in documents}, {}, {})


def test_in_a_mesh_a_node_speaks_with_each_other_node_once_per_family_both_have() -> None:
    found = _speaking(nodes=OTHERS)

    assert _ends(found) == {
        "node_compute_2_v4": (V4, "192.0.2.4"),
        "node_compute_2_v6": (V6, "2001:db8::4"),
        "node_old_v4": (V4, "192.0.2.9"),
    }
    assert all(session.internal for session in found.sessions)
    assert found.known == {name: OTHERS[name] for name in ("compute-2", "old")}


def test_both_ends_of_a_mesh_session_name_the_same_two_addresses() -> None:
    other = LocalNode(name="compute-2", addresses=OTHERS["compute-2"])

    there = _ends(_speaking(local=other, nodes=OTHERS))

    assert there["node_compute_1_v4"] == tuple(reversed(_ends(_speaking(nodes=OTHERS))["node_compute_2_v4"]))


def test_what_is_set_for_sessions_between_nodes_is_in_each_of_them() -> None:
    settings = BGPSettings(asn=64600, listen_port=1179, hold_time=9, password="pass", bfd=Bfd(interval=50))
    settings = msgspec.structs.replace(settings, graceful_restart_time=7)

    (session,) = _speaking(nodes={"old": OTHERS["old"]}, settings=settings).sessions

    assert session == Session(
        name="node_old_v4",
        remote=Address("192.0.2.9"),
        remote_asn=64600,
        local=V4,
        local_asn=64600,
        remote_port=1179,
        local_port=1179,
        hold_time=9,
        password="pass",
        bfd=Bfd(interval=50),
        graceful_restart_time=7,
    )


def test_without_mesh_and_peers_a_node_is_silent_and_remembers_nobody() -> None:
    found = _speaking(nodes=OTHERS, settings=BGPSettings(mesh=False))

    assert (found.sessions, dict(found.known)) == ((), {})


def test_with_reflectors_a_node_speaks_with_them_alone() -> None:
    settings = BGPSettings(reflectors=("compute-2", "absent"))

    found = _speaking(nodes=OTHERS, settings=settings)

    assert list(_ends(found)) == ["node_compute_2_v4", "node_compute_2_v6"]
    assert not found.reflects
    assert [(error.field, error.value) for error in found.refused] == [("settings/bgp.reflectors", "absent")]


def test_a_reflector_speaks_with_all_and_reflects_to_those_that_are_none() -> None:
    settings = BGPSettings(reflectors=("compute-1", "compute-2"), cluster_id=Address("192.0.2.250"))

    found = _speaking(nodes=OTHERS, settings=settings)

    assert {session.name: session.client for session in found.sessions} == {
        "node_compute_2_v4": False,
        "node_compute_2_v6": False,
        "node_old_v4": True,
    }
    assert (found.reflects, found.cluster_id) == (True, "192.0.2.250")


def test_a_peer_is_for_all_nodes_or_for_those_it_names_and_never_for_itself() -> None:
    here = Peer(name="here", address=Address("192.0.2.7"), asn=64999, nodes=("compute-1", "compute-2"))
    elsewhere = Peer(name="elsewhere", address=Address("192.0.2.8"), asn=64999, nodes=("compute-2",))
    itself = Peer(name="itself", address=V4, asn=64999)

    assert list(_ends(_speaking(TOR, here, elsewhere, itself))) == ["peer_here", "peer_tor"]


FEW = Filter(name="few", rules=(FilterRule(action=Action.REJECT, prefix=Prefix("198.51.100.0/24")),))
FAR = Peer(
    name="far",
    address=Address("203.0.113.1"),
    asn=64512,
    local_asn=64512,
    port=1790,
    password="p",
    hold_time=30,
    keepalive=5,
    connect_retry=7,
    bfd=Bfd(),
    graceful_restart=False,
    graceful_restart_time=8,
    multihop=4,
    source=Address("198.51.100.3"),
    reflector_client=True,
    passive=True,
    export_filter="few",
    import_filter="few",
    ttl_security=True,
    allow_local_as=2,
    next_hop=NextHop.SELF,
)


def test_a_peer_brings_all_it_was_given() -> None:
    found = _speaking(FAR, filters=(FEW, Filter(name="unused")))

    assert found.sessions == (
        Session(
            name="peer_far",
            remote=Address("203.0.113.1"),
            remote_asn=64512,
            local=Address("198.51.100.3"),
            local_asn=64512,
            remote_port=1790,
            password="p",
            hold_time=30,
            keepalive=5,
            connect_retry=7,
            bfd=Bfd(),
            graceful_restart=False,
            graceful_restart_time=8,
            multihop=4,
            passive=True,
            client=True,
            other=V6,
            export_filter="few",
            import_filter="few",
            ttl_security=True,
            allow_local_as=2,
            next_hop=NextHop.SELF,
        ),
    )
    assert (found.filters, found.reflects) == ((FEW,), True)


def test_the_own_address_nearest_to_the_peers_is_the_one_that_speaks() -> None:
    local = LocalNode(name="n", addresses=(Address("192.0.2.3"), Address("198.51.100.3"), V6))
    peer = Peer(name="tor", address=Address("198.51.100.1"), asn=64999)

    assert _ends(_speaking(peer, local=local)) == {"peer_tor": ("198.51.100.3", "198.51.100.1")}


def test_a_peer_that_cannot_work_here_is_refused_alone() -> None:
    wrong = (
        Peer(name="six", address=Address("2001:db8::1"), asn=64999),
        Peer(name="outside", address=Address("192.0.2.6"), asn=64999, reflector_client=True),
        Peer(name="tor-again", address=TOR.address, asn=64998),
        Peer(name="timers", address=Address("192.0.2.8"), asn=64999, hold_time=2),
    )
    bad = Filter(name="bad name")

    found = _speaking(TOR, *wrong, local=LocalNode(name="n", addresses=(V4,)), filters=(bad,))

    assert list(_ends(found)) == ["peer_tor"]
    assert sorted(error.field for error in found.refused) == [
        "filters/bad name.name",
        "peers/outside.reflector_client",
        "peers/six.address",
        "peers/timers.hold_time",
        "peers/tor-again.address",
    ]


@pytest.mark.parametrize(("given", "passes"), [("export_filter", (False, True)), ("import_filter", (True, False))])
def test_over_a_session_whose_filter_is_missing_nothing_passes(given: str, passes: tuple[bool, bool]) -> None:
    peer = msgspec.structs.replace(TOR, **{given: "none"})
    found = _speaking(peer, filters=(FEW,))
    assert [passes] == [(each.tells, each.hears) for each in found.sessions]
    assert [f"peers/tor.{given}"] == [error.field for error in found.refused]


def test_a_peer_that_is_a_node_takes_the_place_of_the_mesh_session() -> None:
    own = Peer(name="special", address=Address("192.0.2.4"), asn=64512, hold_time=9)

    assert list(_ends(_speaking(own, nodes={"compute-2": OTHERS["compute-2"]}))) == [
        "node_compute_2_v6",
        "peer_special",
    ]


def test_settings_no_session_could_work_with_are_refused_as_a_whole() -> None:
    with pytest.raises(InvalidInput) as refused:
        _speaking(settings=BGPSettings(asn=0))

    assert refused.value.field == "settings/bgp.asn"


def test_the_router_id_is_an_ipv4_address_or_four_bytes_of_the_name() -> None:
    only_six = LocalNode(name="compute-6", addresses=(V6,))

    assert _speaking().router_id == V4
    assert _speaking(local=only_six).router_id == _speaking(local=only_six).router_id
    assert _speaking(local=only_six).router_id.count(".") == 3


def test_distinct_names_have_distinct_symbols_that_need_no_quotes() -> None:
    names = ["a-b", "a.b", "a_b", "a--b", "A-b", "a", "n" * 60, "n" * 61, "rack 1/tor", "rack_1_tor"]

    symbols = [symbol("peer", name) for name in names]

    assert len(set(symbols)) == len(names)
    assert [each for each in symbols if not each.isidentifier() or len(each) > 60] == []
    assert symbols[:2] == ["peer_a_b", "peer_a__b"]


def test_a_node_whose_agent_died_stays_known_until_it_is_fenced() -> None:
    moved = Node(name="moved", addresses=(Address("192.0.2.20"),))
    fenced = Node(name="fenced", addresses=(Address("192.0.2.21"),))
    before = {"dead": (Address("192.0.2.22"),), "moved": (Address("192.0.2.23"),), "off": (Address("192.0.2.24"),)}
    documents: tuple[Document, ...] = (
        *(moved, fenced, TOR, Filter(name="few"), BGPSettings(asn=64600)),
        *(Fence(node="fenced"), Fence(node="off"), Pool(name="p", prefixes=())),
    )

    assert wish(_snapshot(*documents), before) == PeeringWish(
        settings=BGPSettings(asn=64600),
        peers=(TOR,),
        filters=(Filter(name="few"),),
        nodes={"dead": before["dead"], "moved": moved.addresses},
    )
    assert wish(_snapshot(), {}) == PeeringWish()


@pytest.mark.parametrize(
    ("sessions", "counting"),
    [
        ((), set()),
        (("node_compute_2_v4", "node_compute_2_v6"), {"node_compute_2_v4", "node_compute_2_v6"}),
        (("node_compute_2_v4", "peer_tor"), {"peer_tor"}),
        (("peer_tor", "peer_spine"), {"peer_tor", "peer_spine"}),
        (("peer_rr", "node_compute_2_v4", "peer_tor"), {"peer_tor"}),
        (("peer_rr", "node_compute_2_v4"), {"peer_rr", "node_compute_2_v4"}),
    ],
)
def test_where_routers_were_given_they_alone_make_an_address_known(
    sessions: tuple[str, ...], counting: set[str]
) -> None:
    assert counting == outward(sessions, inside={"peer_rr"})
