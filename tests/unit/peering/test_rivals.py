# SPDX-License-Identifier: Apache-2.0
"""Of peers with one neighbour which is in force: the one that a node takes."""

import pytest

from buoy.model.address import Address
from buoy.model.peer import Peer
from buoy.planner.peering import speaking
from buoy.planner.peering_sessions import LocalNode, PeeringWish
from buoy.planner.rivals import rivals

TOR = Address("192.0.2.254")
LOCAL = LocalNode(name="node-1", addresses=(Address("192.0.2.1"),))


def peer(name: str, *nodes: str, port: int = 179) -> Peer:
    return Peer(name=name, address=TOR, asn=64511, nodes=nodes, port=port)


@pytest.mark.parametrize(
    ("peers", "losers"),
    [
        ((peer("tor"), peer("abc")), {"tor": "abc"}),
        ((peer("a"), peer("b"), peer("c")), {"b": "a", "c": "a"}),
        ((peer("tor"), peer("abc", port=1179)), {}),
        ((peer("tor", "node-1"), peer("abc", "node-2")), {}),
        ((peer("tor", "node-1", "node-2"), peer("abc", "node-1")), {"tor": "abc"}),
        ((peer("tor", "node-1"), peer("abc")), {"tor": "abc"}),
    ],
)
def test_the_first_by_name_is_in_force_as_it_is_on_the_node(peers: tuple[Peer, ...], losers: dict[str, str]) -> None:
    assert losers == {name: other.name for name, other in rivals(peers).items()}
    refused = {error.field.split("/")[1].split(".")[0] for error in speaking(LOCAL, PeeringWish(peers=peers)).refused}
    assert set(losers) == refused
