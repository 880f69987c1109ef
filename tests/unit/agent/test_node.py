# SPDX-License-Identifier: Apache-2.0
"""The agent's pass over a host in memory: what happens during a pass is looked at right after it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from buoy.agent.announcements import Announcements
from buoy.agent.caution import Caution
from buoy.agent.kept import Kept
from buoy.agent.node import Agent, Parts
from buoy.agent.reports import Reports
from buoy.agent.speaking import BirdConfiguration
from buoy.dataplane.driver import Disturbance
from buoy.dataplane.fake import Fake
from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import path
from buoy.model.node import PeerSession
from buoy.model.nodestate import Failure, Key, Link, NodeState, Step
from buoy.model.reason import Reason, Withhold
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import WorkloadStatus
from buoy.model.workload import FixedIP, Workload
from buoy.planner.desired import Desired
from buoy.planner.dhcp import guest_config
from buoy.planner.peering import LocalNode
from buoy.planner.wishes import Here
from buoy.runtime.telemetry import Telemetry
from buoy.store.memory import MemoryStore

VM = Workload(
    id="vm", node="compute-1", interface="tapvm", mac=Mac("fa:16:3e:00:00:01"), network="net",
    fixed_ips=(FixedIP(address=Address("192.0.2.7"), subnet="sub"),),
)  # fmt: skip
SNAPSHOT = Snapshot(Identity("test", 1), {path(VM): VM}, {path(VM): 1}, {})


class Silent:
    """A BIRD without sessions."""

    def sessions(self) -> tuple[PeerSession, ...]:
        return ()

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        return dict.fromkeys(prefixes)

    def configure(self, text: str) -> None:
        pass

    def text(self) -> str:
        return ""


class Busy:
    """A host to which something happens just when the pass has asked what happened."""

    def __init__(self, inner: Fake) -> None:
        self.inner = inner
        self.next: Callable[[], None] | None = None

    def disturbances(self) -> Disturbance:
        told = self.inner.disturbances()
        if self.next is not None:
            happen, self.next = self.next, None
            happen()
        return told

    def links(self) -> Mapping[str, Link]:
        return self.inner.links()

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        return self.inner.observe(keys)

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        return self.inner.apply(steps)


@pytest.fixture
def host() -> Busy:
    return Busy(Fake())


@pytest.fixture
def agent(host: Busy, tmp_path: Path) -> Agent:
    bird = Silent()
    speaking = BirdConfiguration(bird, LocalNode(name="compute-1", addresses=(Address("192.0.2.3"),)))  # type: ignore[arg-type]  # a BIRD without a process
    parts = Parts(host, Announcements(bird, "compute-1", lambda: 0.0), speaking, Caution(Kept(str(tmp_path / "seen"))))
    made = Agent(Desired(Here("compute-1", guest_config)), parts, Reports(MemoryStore()), Telemetry())
    made.take(Batch(SNAPSHOT, None))
    return made


def test_a_tap_that_comes_up_during_a_pass_is_looked_at_in_the_next_which_is_at_once(agent: Agent, host: Busy) -> None:
    host.inner.set_link("tapvm", up=False)
    agent.run_pass()
    assert Reason.TAP_DOWN == _said(agent).reason
    host.inner.set_link("other")  # wakes the agent
    host.next = lambda: host.inner.set_link("tapvm")
    assert 0.0 == agent.run_pass()
    agent.run_pass()
    assert Reason.TAP_DOWN != _said(agent).reason


def test_a_pass_during_which_nothing_happened_is_not_run_again_at_once(agent: Agent, host: Busy) -> None:
    host.inner.set_link("tapvm")
    agent.run_pass()
    delay = agent.run_pass()
    assert delay is not None
    assert delay > 0


def _said(agent: Agent) -> WorkloadStatus:
    said = agent.reports.statuses["status/compute-1/workload/vm"]
    assert isinstance(said, WorkloadStatus)
    return said
