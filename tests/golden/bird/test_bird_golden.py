# SPDX-License-Identifier: Apache-2.0
"""`bird.conf` for typical nodes, held against kept files, each judged by the real `bird -p`.

`BUOY_UPDATE_GOLDEN=1 pytest tests/golden/bird` writes the files anew: read the difference before it is committed.
"""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from buoy.model.address import Address, Prefix
from buoy.model.errors import InvalidInput
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, NextHop, Peer, Tagged
from buoy.planner.peering import speaking
from buoy.planner.peering_sessions import LocalNode, PeeringWish
from buoy.render.bird import bird_conf, remembered

HERE = Path(__file__).parent
LOCAL = LocalNode(name="compute-1", addresses=(Address("192.0.2.3"), Address("2001:db8::3")))
NODES = {
    "compute-1": LOCAL.addresses,
    "compute-2": (Address("192.0.2.4"), Address("2001:db8::4")),
    "rr-1.example.com": (Address("192.0.2.5"),),
}
POOL_ONLY = Filter(
    name="pool-only",
    rules=(
        FilterRule(action=Action.ACCEPT, prefix=Prefix("198.51.100.0/24"), low=32, high=32),
        FilterRule(action=Action.REJECT, prefix=Prefix("0.0.0.0/0")),
        FilterRule(action=Action.REJECT, prefix=Prefix("::/0")),
    ),
)
STRICT = (
    Peer(name="near", address=Address("192.0.2.7"), asn=64512, ttl_security=True, next_hop=NextHop.SELF),
    Peer(
        name="far",
        address=Address("203.0.113.7"),
        asn=64999,
        multihop=2,
        ttl_security=True,
        allow_local_as=2,
        next_hop=NextHop.KEEP,
    ),
)
PEERS = (
    Peer(name="tor-1", address=Address("192.0.2.1"), asn=64999, bfd=Bfd(), export_filter="pool-only"),
    Peer(name="tor-6", address=Address("2001:db8::1"), asn=64999, local_asn=64513, import_filter="pool-only"),
    Peer(
        name="far",
        address=Address("203.0.113.1"),
        asn=64512,
        multihop=3,
        port=1790,
        password=r"it's a \b # $ecret {};",
        hold_time=30,
        keepalive=10,
        connect_retry=9,
        graceful_restart=False,
        passive=True,
        source=Address("192.0.2.33"),
        reflector_client=True,
    ),
)
TAGGED = (
    Tagged(prefix=Prefix("198.51.100.0/24"), communities=("64512:100", "64512:4294967295:0")),
    Tagged(prefix=Prefix("198.51.100.7/32"), communities=("65535:65281",)),
    Tagged(prefix=Prefix("2001:db8::/32"), communities=("0:65535",)),
)
CASES = {
    "alone": (LOCAL, PeeringWish()),
    "mesh": (
        LOCAL,
        PeeringWish(nodes=NODES, settings=BGPSettings(bfd=Bfd(interval=200, graceful=True), password="between")),
    ),
    "peers": (
        LocalNode(name="compute-1", addresses=LOCAL.addresses, uplinks=("eth*", "-docker0"), log="/var/log/bird.log"),
        PeeringWish(nodes=NODES, peers=PEERS[:2], filters=(POOL_ONLY,), settings=BGPSettings(mesh=False)),
    ),
    "communities": (
        LOCAL,
        PeeringWish(peers=PEERS[:1], filters=(POOL_ONLY,), settings=BGPSettings(mesh=False, communities=TAGGED)),
    ),
    "strict": (LOCAL, PeeringWish(peers=STRICT, settings=BGPSettings(mesh=False))),
    "unfiltered": (LOCAL, PeeringWish(peers=PEERS[:2], settings=BGPSettings(mesh=False))),
    "client": (LOCAL, PeeringWish(nodes=NODES, settings=BGPSettings(reflectors=("rr-1.example.com",)))),
    "reflector": (
        LocalNode(name="rr-1.example.com", addresses=(Address("192.0.2.5"),)),
        PeeringWish(
            nodes=NODES,
            peers=PEERS[2:],
            settings=BGPSettings(reflectors=("rr-1.example.com",), cluster_id=Address("192.0.2.250"), listen_port=1179),
        ),
    ),
}


def _conf(case: str) -> str:
    local, wanted = CASES[case]
    return bird_conf(speaking(local, wanted), local)


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_is_the_one_kept(case: str) -> None:
    kept = HERE / f"{case}.conf"
    if os.environ.get("BUOY_UPDATE_GOLDEN"):
        kept.write_text(_conf(case))

    assert _conf(case) == kept.read_text()


@pytest.mark.parametrize("case", CASES)
def test_bird_accepts_the_kept_file(case: str) -> None:
    judged = subprocess.run(
        ["bird", "-p", "-c", str(HERE / f"{case}.conf")], capture_output=True, text=True, check=False
    )

    assert (judged.returncode, judged.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES)
def test_the_nodes_a_configuration_was_made_for_can_be_read_from_it(case: str) -> None:
    local, wanted = CASES[case]

    assert remembered(_conf(case)) == dict(speaking(local, wanted).known)


def test_a_file_of_somebody_else_remembers_nobody() -> None:
    assert remembered("router id 192.0.2.1;\n") == {}


@pytest.mark.parametrize("case", CASES)
def test_one_more_peer_adds_its_block_and_changes_no_other(case: str) -> None:
    local, wanted = CASES[case]
    more = Peer(name="more", address=Address("192.0.2.77"), asn=64999)

    longer = bird_conf(speaking(local, msgspec.structs.replace(wanted, peers=(*wanted.peers, more))), local)

    assert _blocks(_conf(case)) - _blocks(longer) == set()
    assert len(_blocks(longer) - _blocks(_conf(case))) == 1


def test_a_reflector_without_cluster_id_leaves_it_to_bird() -> None:
    local, wanted = CASES["reflector"]
    plain = PeeringWish(nodes=wanted.nodes, settings=BGPSettings(reflectors=("rr-1.example.com",)))

    conf = bird_conf(speaking(local, plain), local)

    assert ("rr client;" in conf, "rr cluster id" in conf) == (True, False)


def _blocks(conf: str) -> set[str]:
    return {block.strip() for block in conf.split("\n\n")}


@pytest.mark.parametrize(
    ("field", "local"),
    [
        ("uplinks", LocalNode(name="n", addresses=(), uplinks=('eth0"; include "/etc/shadow',))),
        ("log", LocalNode(name="n", addresses=(), log='/tmp/x" all; include "y')),  # noqa: S108
        ("log", LocalNode(name="n", addresses=(), log="/var/log/a\nb")),
    ],
)
def test_text_that_bird_cannot_quote_is_refused(field: str, local: LocalNode) -> None:
    with pytest.raises(InvalidInput) as refused:
        bird_conf(speaking(LOCAL, PeeringWish()), local)

    assert refused.value.field == field
