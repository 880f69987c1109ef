# SPDX-License-Identifier: Apache-2.0
"""When the tracked connections of a node are judged, and of which addresses."""

from collections.abc import Collection
from pathlib import Path

import pytest

from buoy.agent.flows import FlowAudit, service_ips
from buoy.model.address import Address
from buoy.model.proxied import ProxyPort
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.status import AddressStatus, State
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import FIXED, HERE, SERVICE, SERVICE2, floating, port

OURS, THEIRS = Address("198.51.100.98"), Address("198.51.100.99")


class Long:
    """A table of connections that takes three steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._left = 0

    def judge(self, service_ips: Collection[Address]) -> None:
        self.steps.append(f"judge {len(service_ips)}")
        self._left = 3

    def go_on(self) -> bool:
        self.steps.append("go on")
        self._left = max(0, self._left - 1)
        return self._left > 0


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story(tmp_path)
    story.host.set_link("tap1")
    return story


def said(address: Address, node: str = HERE) -> AddressStatus:
    return AddressStatus(node=node, address=address, state=State.ACTIVE, programmed=True, announced=True)


def test_known_are_all_service_ips_and_what_this_node_once_said_it_serves_but_no_guests_own_address(
    story: Story,
) -> None:
    story.listed(
        port(), floating(), floating(address=SERVICE2, endpoints=()), said(FIXED), said(OURS), said(THEIRS, "elsewhere")
    )
    assert {SERVICE, SERVICE2, OURS} == service_ips(story.agent.desired)


def test_what_a_service_proxy_translates_is_not_judged(story: Story) -> None:
    proxied = ServiceIP(address=SERVICE, mode=Mode.PROXIED)
    story.host.service_proxy.forward(OURS, [ProxyPort("tcp", 80)])
    story.listed(proxied, floating(address=SERVICE2), said(SERVICE), said(OURS))
    assert {SERVICE2} == service_ips(story.agent.desired)


def test_the_first_look_is_over_at_once_and_later_ones_take_a_step_with_each_pass(story: Story) -> None:
    story.listed(port(), floating())
    flows, desired = Long(), story.agent.desired
    audit = FlowAudit(flows)
    audit.turn(desired, whole=True)
    assert (["judge 1", "go on", "go on", "go on"], False) == (flows.steps, audit.going_on)
    flows.steps.clear()
    audit.turn(desired, whole=True)
    assert (["judge 1", "go on"], True) == (flows.steps, audit.going_on)
    audit.turn(desired, whole=False)
    audit.turn(desired, whole=False)
    assert (["judge 1", "go on", "go on", "go on"], False) == (flows.steps, audit.going_on)


def test_an_agent_with_more_to_judge_does_not_wait(story: Story) -> None:
    story.host.flows = Long()
    story.start()
    story.listed(port(), floating())
    story.agent.look_at_everything()
    assert [0.0, 0.0] == [story.look(), story.look()]
    assert story.look() != 0.0
