# SPDX-License-Identifier: Apache-2.0
"""Passwords that stand in files of a node: used if they are there, and never left out if they are not."""

import msgspec
import pytest

from buoy.model.address import Address
from buoy.model.documents import path
from buoy.model.peer import BGPSettings, Peer
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.peering import Speaking, speaking, wish
from buoy.planner.peering_sessions import LocalNode, PeeringWish

LOCAL = LocalNode(name="compute-1", addresses=(Address("192.0.2.3"),))
OTHERS = {"compute-1": LOCAL.addresses, "compute-2": (Address("192.0.2.4"),)}
TOR = Peer(name="tor", address=Address("192.0.2.1"), asn=64999)
SECRET = msgspec.structs.replace(TOR, password_from="bgp/tor")


def _speaking(*peers: Peer, **more: object) -> Speaking:
    return speaking(LOCAL, msgspec.structs.replace(PeeringWish(peers=peers), **more))


def test_a_password_in_a_file_is_that_of_the_session() -> None:
    (session,) = _speaking(SECRET, passwords={"bgp/tor": "it's a \\b"}).sessions

    assert session.password == "it's a \\b"


@pytest.mark.parametrize("passwords", [{}, {"bgp/tor": ""}, {"bgp/tor": 'a"b'}, {"bgp/tor": "a\nb"}])
def test_a_peer_whose_password_is_not_to_be_had_is_refused_and_never_spoken_with_without(
    passwords: dict[str, str],
) -> None:
    found = _speaking(SECRET, passwords=passwords)

    assert found.sessions == ()
    assert [error.field for error in found.refused] == ["peers/tor.password_from"]
    assert 'a"b' not in str(found.refused[0])


def test_away_from_the_node_nobody_can_tell_a_password_and_none_is_taken_for_it() -> None:
    (session,) = _speaking(SECRET).sessions

    assert session.password == "(hidden) bgp/tor"


def test_nodes_do_not_speak_with_each_other_without_their_password() -> None:
    settings = BGPSettings(password_from="bgp/mesh")

    silent = _speaking(TOR, nodes=OTHERS, settings=settings, passwords={})
    spoken = _speaking(nodes=OTHERS, settings=settings, passwords={"bgp/mesh": "between"})
    alone = _speaking(settings=settings, passwords={})

    assert [session.name for session in silent.sessions] == ["peer_tor"]
    assert [error.field for error in silent.refused] == ["settings/bgp.password_from"]
    assert {session.password for session in spoken.sessions} == {"between"}
    assert alone.refused == ()


def test_the_passwords_that_documents_name_are_read() -> None:
    documents = (SECRET, BGPSettings(password_from="bgp/mesh"))
    snapshot = Snapshot(Identity("test", 1), {path(each): each for each in documents}, {}, {})

    assert wish(snapshot, {}, str.upper).passwords == {"bgp/mesh": "BGP/MESH", "bgp/tor": "BGP/TOR"}
    assert wish(snapshot, {}).passwords is None
