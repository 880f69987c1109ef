# SPDX-License-Identifier: Apache-2.0
"""What comes for an announced Service, and nobody translated, does not go back; all other ways stay open."""

import itertools
import socket
import time

import pytest

from buoy.model.nodestate import Key, Stray, Table
from tests.netns.dataplane.place import Place
from tests.netns.dataplane.world import OUTSIDE, OUTSIDE6, World, policy

HOST = {"203.0.113.5/32": "203.0.113.5", "2001:db8:113::5/128": "2001:db8:113::5"}
NETWORK = {"203.0.113.0/24": "203.0.113.77", "2001:db8:113::/48": "2001:db8:113::77"}


@pytest.fixture
def there(world: World) -> Place:
    """Return the router that all of this is behind: it counts what comes to it for Services."""
    world.node.ip("route", "add", "default", "via", OUTSIDE)
    world.node.ip("-6", "route", "add", "default", "via", OUTSIDE6)
    count = "add table inet seen; add chain inet seen coming { type filter hook prerouting priority -300; }; "
    count += "".join(
        f"add rule inet seen coming {family} daddr {prefix} counter; "
        for family, prefix in (("ip", "203.0.113.0/24"), ("ip6", "2001:db8:113::/48"))
    )
    world.outside.exec("nft", count)
    return world.outside


def came(there: Place) -> int:
    """Return how many packets for Services came there."""
    words = there.exec("nft", "list", "table", "inet", "seen").split()
    return sum(int(after) for word, after in itertools.pairwise(words) if word == "packets")


def wait_for(there: Place, packets: int) -> None:
    """Wait until so many came: the first to a neighbour waits until it is found."""
    deadline = time.monotonic() + 5
    while came(there) != packets:
        assert time.monotonic() < deadline, came(there)
        time.sleep(0.01)


def send(place: Place, source: str, to: str) -> None:
    kind = socket.AF_INET6 if ":" in to else socket.AF_INET

    def act() -> None:
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            if source:
                sock.bind((source, 0))
            sock.sendto(b"?", (to, 53))

    place.inside(act)


@pytest.mark.parametrize(("prefix", "to"), [*HOST.items(), *NETWORK.items()])
def test_what_would_go_back_where_it_came_from_is_dropped(world: World, there: Place, prefix: str, to: str) -> None:
    outside = OUTSIDE6 if ":" in to else OUTSIDE
    send(there, outside, to)
    assert 1 == came(there)
    world.wish({Key(Table.STRAY, (prefix,)): Stray()})
    send(there, outside, to)
    assert 1 == came(there)
    world.unwish([Key(Table.STRAY, (prefix,))])
    send(there, outside, to)
    assert 2 == came(there)


@pytest.mark.parametrize(("prefix", "to"), [*HOST.items(), *NETWORK.items()])
def test_what_this_node_and_its_guests_send_there_goes_on(world: World, there: Place, prefix: str, to: str) -> None:
    guest = world.guest(1)
    world.wish(policy(), guest.wishes(), {Key(Table.STRAY, (prefix,)): Stray()})
    send(world.node, "", to)
    wait_for(there, 1)
    guest.place.wait_for_carrier("eth0")
    send(guest.place, guest.address6 if ":" in to else guest.address, to)
    wait_for(there, 2)
