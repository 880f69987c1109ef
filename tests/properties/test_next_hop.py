# SPDX-License-Identifier: Apache-2.0
"""Endpoints move between nodes, agents hear of it one by one: there is always a next hop, and it always forwards."""

import os
import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.dataplane.fake_proxy import FakeProxy
from buoy.model import documents
from buoy.model.address import Address, Prefix, host_prefix
from buoy.model.documents import Document
from buoy.model.nodestate import Key, Table
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Eligibility, Kind, Proxying, ProxyMode, ProxyPort
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.planner import proxied
from buoy.planner.desired import Desired
from buoy.planner.index import Reader
from buoy.planner.sight import Sight, Stir
from buoy.planner.wishes import Here
from tests.properties.random_store import guest

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300"))
NODES = ("node-1", "node-2", "node-3")
ADDRESS, WEB = Address("203.0.113.5"), ProxyPort("tcp", 80)
ANNOUNCED = Key(Table.ANNOUNCEMENT, (host_prefix(ADDRESS),))
PUBLIC = Advertised(prefix=Prefix("203.0.113.0/24"), kinds=(Kind.LOAD_BALANCER,), aggregate=False)


class Member:
    """One node: what it decided when it last looked, and what its proxy forwards."""

    def __init__(self, name: str) -> None:
        self.desired = Desired(Here(name, guest))
        self.proxy = FakeProxy(ProxyMode.NFTABLES)
        self.relied: dict[Address, frozenset[ProxyPort]] = {}
        self.heard: set[str] | None = None

    @property
    def announces(self) -> bool:
        return ADDRESS in self.relied

    def look(self, snapshot: Snapshot) -> None:
        """Decide anew with all that is known now, and do it."""
        stir = Stir(proxied=self.proxy.news()[0])
        sight = Sight({}, self.proxy.mode(), self.proxy.proxying(), self.relied)
        changed = None if self.heard is None else frozenset(self.heard)
        self.desired.update(snapshot, changed, sight, stir)
        self.heard = set()
        self.relied.pop(ADDRESS, None)
        if ANNOUNCED in self.desired.state:
            self.relied[ADDRESS] = self.proxy.proxying().get(ADDRESS, Proxying()).forwarded


class Cluster:
    """Three nodes and one Service whose traffic policy is Local, with an endpoint on the first node."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.documents: dict[str, Document] = {}
        self.members = {name: Member(name) for name in NODES}
        self.ready, self.draining = {NODES[0]}, set[str]()
        self._put(BGPSettings(advertise=(PUBLIC,)))
        for name in NODES:
            self._put(Eligibility(node=name))
        self.tell()
        self.members[NODES[0]].proxy.forward(ADDRESS, [WEB])
        for name in NODES:
            self.act(name)

    def _put(self, document: Document) -> None:
        self.documents[documents.path(document)] = document
        self._say(documents.path(document))

    def _say(self, path: str) -> None:
        for member in self.members.values():
            if member.heard is not None:
                member.heard.add(path)

    def tell(self) -> None:
        """Write where the endpoints are."""
        backing = Backing(
            service="shop/web",
            kind=Kind.LOAD_BALANCER,
            ports=(WEB,),
            local=True,
            ready=tuple(sorted(self.ready)),
            draining=tuple(sorted(self.draining - self.ready)),
        )
        self._put(ServiceIP(address=ADDRESS, mode=Mode.PROXIED, backings=(backing,)))

    def act(self, name: str) -> None:
        """Let an agent have its pass, and say what it then announces."""
        member = self.members[name]
        member.look(Snapshot(Identity("cluster", 1), self.documents, {}, {}))
        status = AddressStatus(node=name, address=ADDRESS, state=State.ACTIVE, programmed=True, announced=True)
        if member.announces:
            self._put(status)
        elif self.documents.pop(documents.path(status), None) is not None:
            self._say(documents.path(status))

    def move(self) -> None:
        """Start an endpoint on another node, and end one: it goes on serving until another node announces."""
        self.ready.add(self.chance.choice(NODES))
        ending = self.chance.choice(sorted(self.ready))
        if len(self.ready) > 1 or self.chance.random() < 0.1:
            self.ready.discard(ending)
            self.draining.add(ending)
        self.draining -= self.ready
        self.tell()

    def gone(self) -> None:
        """End what terminates on a node that does not announce any more."""
        over = {name for name in self.draining if not self.members[name].announces}
        self.draining -= over
        self.tell()

    def program(self) -> None:
        """Let the proxy of some node catch up with where the endpoints are."""
        name = self.chance.choice(NODES)
        serving = name in self.ready or name in self.draining
        act = self.members[name].proxy.forward if serving else self.members[name].proxy.refuse
        act(ADDRESS, [WEB])

    def step(self) -> None:
        """Let something happen somewhere."""
        what = self.chance.choice((self.move, self.gone, self.program, self.program, None, None, None))
        if what is None:
            self.act(self.chance.choice(NODES))
        else:
            what()

    def forward(self) -> list[str]:
        """Return the nodes that announce and forward."""
        return [
            name
            for name, member in self.members.items()
            if member.announces and member.proxy.forwards(ADDRESS, WEB) and name in self.ready | self.draining
        ]


def lost(seed: int) -> list[int]:
    """Return the steps after which no node announces and forwards, though an endpoint is there."""
    cluster = Cluster(random.Random(seed))
    found = []
    for number in range(60):
        cluster.step()
        if not cluster.forward():
            found.append(number)
    return found


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32 - 1))
def test_there_is_always_a_next_hop_that_forwards(seed: int) -> None:
    assert [] == lost(seed)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32 - 1))
def test_once_all_is_quiet_exactly_the_nodes_with_a_ready_endpoint_announce(seed: int) -> None:
    cluster = Cluster(random.Random(seed))
    for _ in range(60):
        cluster.step()
    cluster.ready.add(NODES[1])
    for _ in range(3):
        cluster.draining -= cluster.ready
        cluster.tell()
        for name in NODES:
            (cluster.members[name].proxy.forward if name in cluster.ready else cluster.members[name].proxy.refuse)(
                ADDRESS, [WEB]
            )
        for name in NODES:
            cluster.act(name)
    assert cluster.ready == {name for name, member in cluster.members.items() if member.announces}


def nobody_keeps_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    role = proxied._role

    def without(service: ServiceIP, backing: Backing, node: str, reader: Reader) -> object:
        return role(service, msgspec.structs.replace(backing, draining=()), node, reader)

    monkeypatch.setattr(proxied, "_role", without)


def the_others_word_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "_successors", lambda _, backing, __: frozenset(backing.ready))


def announce_before_forwarding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "_forwarded", lambda *_: True)


PLANTED = (nobody_keeps_the_last, the_others_word_is_not_waited_for, announce_before_forwarding)


@pytest.mark.parametrize("plant", PLANTED)
def test_planted_mistakes_are_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert any(lost(seed) for seed in range(300))
