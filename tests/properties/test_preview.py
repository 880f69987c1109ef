# SPDX-License-Identifier: Apache-2.0
"""What is told of a change is what the nodes do when it has happened, one change after the other."""

import random

from hypothesis import given, settings

from buoy.model.address import Address, Prefix
from buoy.model.node import Node
from buoy.model.nodestate import Announcement, Class, Link, Table
from buoy.model.peer import Peer
from buoy.model.proxied import Proxying, ProxyMode
from buoy.model.snapshot import Identity, Snapshot
from buoy.planner.desired import Desired
from buoy.planner.preview import Route, preview
from buoy.planner.sight import Sight
from buoy.planner.wishes import Here
from tests.properties.random_store import NODE, OTHER, PORTS, SERVICE, TAPS, THIRD, Store, guest
from tests.properties.test_desired import EXAMPLES, SEEDS

NODES = (NODE, OTHER, THIRD)
WELL = Sight(
    {tap: Link(tap, 1, up=True) for tap in TAPS},
    ProxyMode.NFTABLES,
    dict.fromkeys(SERVICE, Proxying(frozenset(PORTS))),
)
"""What a node sees whose interfaces are up and whose kube-proxy forwards everything."""


def announced(nodes: dict[str, Desired]) -> dict[Route, Class]:
    """Return what nodes announce."""
    return {
        Route(Prefix(key.name[0]), name): entry.preference
        for name, desired in nodes.items()
        for key, entry in desired.state.items()
        if key.table is Table.ANNOUNCEMENT and isinstance(entry, Announcement)
    }


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_what_is_told_of_a_change_is_what_nodes_do_after_it(seed: int) -> None:
    store = Store(random.Random(seed))
    nodes = {name: Desired(Here(name, guest)) for name in NODES}
    for desired in nodes.values():
        desired.update(living(store), None, WELL)
    for _ in range(8):
        paths, _ = store.change()
        told = preview(living(store), NODES)
        for desired in nodes.values():
            desired.update(living(store), paths, WELL)
        assert announced(nodes) == {route: each.preference for route, each in told.routes.items()}


def living(store: Store) -> Snapshot:
    """Return what a store holds, with every node alive and one router."""
    # both families, so that every route has a session to be told on
    addresses = {name: (Address(f"192.0.2.1{at}"), Address(f"2001:db8::1{at}")) for at, name in enumerate(NODES)}
    fixed = {f"nodes/{name}": Node(name=name, addresses=own) for name, own in addresses.items()}
    router = {"peers/tor": Peer(name="tor", address=Address("192.0.2.254"), asn=64511)}
    return Snapshot(Identity("cluster", 1), {**store.documents, **fixed, **router}, dict(store.revisions), {})
