# SPDX-License-Identifier: Apache-2.0
"""A node walks through a changing store, with taps that come and go, refusals and deaths; the promise holds."""

import os
import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.agent.reliance import Reliance
from buoy.dataplane.fake import Fake, Killed
from buoy.model.address import Prefix, host_prefix, is_host, split
from buoy.model.nodestate import Step, Table
from buoy.model.proxied import Proxying, ProxyMode
from buoy.model.service_ip import Mode, ServiceIP
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.sight import Stir
from buoy.planner.verify import mismatches
from buoy.planner.wishes import Here
from tests.properties.node_states import State, broken, way
from tests.properties.random_store import NODE, Store, guest

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300"))


class Walk:
    """A store, a node in memory and the desired state between them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = Store(self.chance)
        self.host = Fake()
        self.host.proxy = self.store.proxy
        self.host.attached = self.store.attached
        self.reliance = Reliance(self.host)
        self.desired = Desired(Here(NODE, guest))

    def change(self) -> None:
        paths, stir = self.store.change(relied=False)
        stir = msgspec.structs.replace(stir, proxied=stir.proxied | self.reliance.fallen())
        for name in stir.links:
            if name in self.store.links:
                self.host.set_link(name, up=self.store.links[name].up)
            elif name in self.host.links():
                self.host.remove_link(name)
        self.desired.update(self.store.snapshot(), paths, self.reliance.sight(), stir)

    def act(self) -> None:
        observed = self.host.observe(None)
        plan = make_plan(observed, self.desired.state)
        self.host.apply(plan.steps)
        self.look()

    def look(self) -> None:
        """Follow what is announced now, as an agent does after each pass."""
        state, now = self.desired.state, self.host.observe(None)
        announced = {key for key in state if key.table is Table.ANNOUNCEMENT and now.get(key) == state[key]}
        present = {Prefix(key.name[0]) for key in announced}
        known = {host_prefix(address) for address in self.reliance.sight().relied}
        self.reliance.follow(present, known - present, state, self.store.documents)

    def die(self) -> None:
        """Begin anew as an agent that was killed: it knows nothing but what it finds."""
        self.reliance = Reliance(self.host)
        self.reliance.recall(self.store.documents)
        self.desired = Desired(Here(NODE, guest))
        self.desired.update(self.store.snapshot(), None, self.reliance.sight())

    def stumble(self) -> None:
        """Let the host refuse some steps, and the process die in the middle, perhaps."""
        share = self.chance.choice((0, 0, 0.1, 0.5))
        self.host.refuse = lambda _: "no" if self.chance.random() < share else None
        if self.chance.random() < 0.3:
            self.host.dies_after = len(self.host.done) + self.chance.randint(0, 10)
        try:
            self.act()
        except Killed:
            self.host.dies_after = None
            self.die()
        self.host.dies_after = None
        self.host.refuse = _willing


def harmed(state: State, before: State, after: State) -> list[str]:
    """Return what is served neither as before nor as wanted; what a lost tap had broken may have become better."""
    return [
        prefix
        for prefix in broken(state, before, after)
        if "no " in (now := way(state, Prefix(prefix))) or now.split()[0] != way(before, Prefix(prefix)).split()[0]
    ]


def _willing(_: Step) -> str | None:
    return None


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32 - 1))
def test_no_act_leaves_an_announced_prefix_without_its_forwarding_and_policy(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(15):
        walk.change()
        before = dict(walk.host.observe(None))
        walk.stumble()
        now = dict(walk.host.observe(None))
        assert [] == harmed(now, before, dict(walk.desired.state))
        assert [] == [prefix for prefix in new_for_services(walk, before, now) if not forwarded(walk, prefix)]
    walk.act()
    walk.desired.update(walk.store.snapshot(), frozenset(), walk.reliance.sight(), Stir(proxied=walk.reliance.fallen()))
    walk.act()
    assert () == mismatches(walk.desired.state, walk.host.observe(None))


def new_for_services(walk: Walk, before: State, now: State) -> list[Prefix]:
    """Return the addresses of Services that are announced now, and were not; not those that pods only send from."""
    new = (Prefix(key.name[0]) for key in now if key.table is Table.ANNOUNCEMENT and key not in before)
    return [prefix for prefix in new if is_host(prefix) and way(now, prefix) == "proxied" and is_proxied(walk, prefix)]


def is_proxied(walk: Walk, prefix: Prefix) -> bool:
    """Tell whether an address is of Services, by its document."""
    claim = walk.store.documents.get(f"service-ips/{split(prefix)[0]}")
    return isinstance(claim, ServiceIP) and claim.mode is Mode.PROXIED


def forwarded(walk: Walk, prefix: Prefix) -> bool:
    """Tell whether the service proxy, which is not stuck, forwards every port of a Service behind an address."""
    claim = walk.store.documents[f"service-ips/{split(prefix)[0]}"]
    assert isinstance(claim, ServiceIP)
    does = walk.store.proxy.proxying().get(claim.address, Proxying()).forwarded
    unchecked = walk.store.proxy.mode() is ProxyMode.UNCHECKED
    return unchecked or (not walk.store.proxy.stuck() and any(does >= set(each.ports) for each in claim.backings))
