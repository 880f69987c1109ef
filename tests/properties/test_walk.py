# SPDX-License-Identifier: Apache-2.0
"""A node walks through a changing store, with taps that come and go, refusals and deaths; the promise holds."""

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.dataplane.fake import Fake, Killed
from buoy.model.address import Prefix
from buoy.model.nodestate import Step
from buoy.planner.desired import Desired
from buoy.planner.plan import make_plan
from buoy.planner.sight import Sight, Stir
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
        self.desired = Desired(Here(NODE, guest))

    def change(self) -> None:
        paths, links = self.store.change()
        for name in links:
            if name in self.store.links:
                self.host.set_link(name, up=self.store.links[name].up)
            elif name in self.host.links():
                self.host.remove_link(name)
        self.desired.update(self.store.snapshot(), paths, Sight(self.store.links), Stir(links))

    def act(self) -> None:
        self.host.apply(make_plan(self.host.observe(None), self.desired.state).steps)

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
        assert [] == harmed(dict(walk.host.observe(None)), before, dict(walk.desired.state))
    walk.act()
    assert () == mismatches(walk.desired.state, walk.host.observe(None))
