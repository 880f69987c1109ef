# SPDX-License-Identifier: Apache-2.0
"""An agent's life with Services: announced once they are forwarded, kept over a restart, left to others in time."""

import time
from pathlib import Path

import msgspec
import pytest

from buoy.agent import reliance
from buoy.model.documents import Document, path
from buoy.model.nodestate import Announcement, Class, Key, Table
from buoy.model.proxied import ProxyMode
from buoy.model.reason import Reason
from buoy.model.status import State
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import HERE, THERE
from tests.unit.planner.cluster import EVERYWHERE, PUBLIC, TLS, WEB, backing, balanced, pool, says, settings

TOLD = Key(Table.ANNOUNCEMENT, (f"{PUBLIC}/32",))
ONE, BOTH = balanced(backing(ports=(WEB,))), balanced(backing(ports=(WEB, TLS)))
MOVING = balanced(backing(local=True, ready=(THERE,), draining=(HERE,)))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Return a story on a node with a service proxy that forwards nothing yet."""
    story = Story(tmp_path)
    story.host.service_proxy.become(ProxyMode.NFTABLES)
    return story


@pytest.fixture
def announced(story: Story) -> Story:
    """Return a story in which a Service with one port is announced."""
    story.host.service_proxy.forward(PUBLIC, [WEB])
    listed(story, ONE)
    return story


def listed(story: Story, *wanted: Document) -> None:
    story.listed(settings(), *EVERYWHERE, *wanted)


def told(story: Story) -> Class | None:
    """Return as what the host announces the address."""
    found = story.host.observe({TOLD}).get(TOLD)
    assert found is None or isinstance(found, Announcement)
    return found.preference if found else None


def said(story: Story) -> tuple[State, Reason | None] | None:
    status = story.address(PUBLIC)
    return None if status is None else (status.state, status.reason)


def test_a_service_is_announced_in_the_pass_in_which_its_last_port_is_forwarded(story: Story) -> None:
    listed(story, BOTH)
    assert (None, (State.DOWN, Reason.NOT_PROXIED_YET)) == (told(story), said(story))
    story.host.service_proxy.forward(PUBLIC, [WEB])
    story.look()
    assert None is told(story)
    story.host.service_proxy.forward(PUBLIC, [TLS])
    story.look()
    assert (Class.NORMAL, (State.ACTIVE, None)) == (told(story), said(story))


def test_it_is_withdrawn_when_a_port_is_forwarded_no_more(announced: Story) -> None:
    announced.host.service_proxy.refuse(PUBLIC, [WEB])
    announced.look()
    assert (None, (State.DOWN, Reason.NOT_PROXIED_YET)) == (told(announced), said(announced))


def test_it_is_withdrawn_when_the_proxy_goes_and_comes_back_with_it(announced: Story) -> None:
    announced.host.service_proxy.become(ProxyMode.NONE)
    announced.look()
    assert (None, (State.ERROR, Reason.NO_SERVICE_PROXY)) == (told(announced), said(announced))
    announced.host.service_proxy.become(ProxyMode.NFTABLES)
    announced.host.service_proxy.forward(PUBLIC, [WEB])
    announced.look()
    assert (Class.NORMAL, (State.ACTIVE, None)) == (told(announced), said(announced))


def test_while_the_proxy_is_stuck_what_is_announced_stays_and_what_comes_waits_for_it(announced: Story) -> None:
    announced.host.service_proxy.freeze("hangs")
    announced.look()
    assert (Class.NORMAL, (State.ACTIVE, None)) == (told(announced), said(announced))
    announced.changed(balanced(backing(ready=())))
    announced.changed(ONE)
    assert (None, (State.ERROR, Reason.SERVICE_PROXY_STUCK)) == (told(announced), said(announced))
    announced.host.service_proxy.freeze("")
    announced.look()
    assert (Class.NORMAL, (State.ACTIVE, None)) == (told(announced), said(announced))


def test_a_new_agent_lets_go_on_what_was_announced_before_the_proxy_stuck(announced: Story) -> None:
    announced.host.service_proxy.freeze("hangs")
    announced.start()
    listed(announced, ONE)
    assert (Class.NORMAL, (State.ACTIVE, None)) == (told(announced), said(announced))


def test_a_new_port_costs_it_nothing_until_it_is_forwarded_and_counts_from_then_on(
    announced: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reliance, "PATIENCE", 0.0)
    done = len(announced.host.done)
    announced.changed(BOTH)
    assert (Class.NORMAL, done) == (told(announced), len(announced.host.done))
    announced.host.service_proxy.forward(PUBLIC, [TLS])
    announced.look()
    announced.host.service_proxy.forget(PUBLIC, [TLS])
    announced.look()
    assert None is told(announced)


def test_a_port_that_goes_from_the_proxy_before_it_goes_from_the_service_costs_nothing(announced: Story) -> None:
    announced.host.service_proxy.forward(PUBLIC, [TLS])
    announced.changed(BOTH)
    done = len(announced.host.done)
    announced.host.service_proxy.forget(PUBLIC, [TLS])
    wait = announced.look()
    assert wait is not None
    assert 0 < wait <= reliance.PATIENCE
    announced.agent.look_at_everything()
    announced.look()
    announced.changed(ONE)
    assert (Class.NORMAL, done) == (told(announced), len(announced.host.done))


def test_a_port_that_only_the_proxy_has_lost_is_missed_also_when_all_was_looked_at_meanwhile(
    announced: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced.host.service_proxy.forward(PUBLIC, [TLS])
    announced.changed(BOTH)
    monkeypatch.setattr(reliance, "PATIENCE", 0.02)
    announced.host.service_proxy.forget(PUBLIC, [TLS])
    announced.look()
    announced.agent.look_at_everything()
    announced.look()
    assert Class.NORMAL is told(announced)
    time.sleep(0.02)
    announced.look()
    assert told(announced) is None
    assert (State.DOWN, Reason.NOT_PROXIED_YET) == said(announced)


def test_a_port_that_went_from_the_service_may_come_again(announced: Story) -> None:
    announced.host.service_proxy.forward(PUBLIC, [TLS])
    announced.changed(BOTH)
    announced.changed(ONE)
    announced.host.service_proxy.forget(PUBLIC, [TLS])
    announced.look()
    announced.changed(BOTH)
    assert Class.NORMAL is told(announced)


def test_an_agent_that_begins_anew_keeps_what_the_one_before_announced(announced: Story) -> None:
    announced.start()
    done = len(announced.host.done)
    listed(announced, BOTH)
    assert (Class.NORMAL, done) == (told(announced), len(announced.host.done))


def test_an_announcement_that_was_lost_begins_anew(announced: Story) -> None:
    announced.changed(BOTH)
    announced.host.refuse = lambda step: "no" if getattr(step.act, "key", None) == TOLD else None
    announced.host.damage(TOLD)
    announced.look()
    announced.host.refuse = lambda _: None
    announced.look()
    assert (None, (State.DOWN, Reason.NOT_PROXIED_YET)) == (told(announced), said(announced))


def test_one_that_another_hand_takes_away_is_put_back_at_once(announced: Story) -> None:
    announced.changed(BOTH)
    announced.host.damage(TOLD)
    announced.look()
    assert Class.NORMAL is told(announced)


def test_a_terminating_endpoint_is_kept_until_the_other_node_announces(announced: Story) -> None:
    announced.changed(MOVING)
    assert Class.DRAIN is told(announced)
    announced.changed(says(THERE))
    assert (None, None) == (told(announced), said(announced))


def test_what_other_nodes_say_of_what_is_not_asked_wakes_nobody(announced: Story) -> None:
    assert {path(says(THERE))} == announced.agent._aside([path(says(THERE))])


def test_prefixes_of_services_come_and_go_with_the_proxy(story: Story) -> None:
    story.listed(settings(pool(aggregate=True)), *EVERYWHERE)
    assert story.holds(Table.ANNOUNCEMENT, "203.0.113.0/24")
    story.host.service_proxy.become(ProxyMode.NONE)
    story.look()
    assert not story.holds(Table.ANNOUNCEMENT, "203.0.113.0/24")
    assert story.agent.desired.aggregates_withheld is not None


def test_prefixes_of_services_of_one_family_come_and_go_with_its_rules(story: Story) -> None:
    prefixes = ("203.0.113.0/24", "2001:db8:f::/112")
    story.listed(settings(*(pool(prefix, aggregate=True) for prefix in prefixes)), *EVERYWHERE)
    for families, announced in ((frozenset({6}), [False, True]), (frozenset({4, 6}), [True, True])):
        story.host.service_proxy.become(ProxyMode.NFTABLES, families)
        story.look()
        assert announced == [story.holds(Table.ANNOUNCEMENT, prefix) for prefix in prefixes]


def test_only_services_are_relied_on(announced: Story) -> None:
    assert {PUBLIC: frozenset({WEB})} == announced.agent._reliance.sight().relied
    announced.changed(gone=[ONE])
    assert {} == announced.agent._reliance.sight().relied


def test_what_is_held_in_doubt_is_held_only_as_long_as_it_is_forwarded(announced: Story) -> None:
    announced.store = "another"
    announced.changed(gone=[ONE], listed=True)
    assert (Class.NORMAL, (State.ERROR, Reason.HELD_BY_GUARD)) == (told(announced), said(announced))
    announced.look()
    assert Class.NORMAL is told(announced)
    announced.host.service_proxy.forget(PUBLIC, [WEB])
    announced.look()
    assert (None, None, False) == (told(announced), said(announced), announced.holds(Table.STRAY, f"{PUBLIC}/32"))
    assert "" == announced.agent.parts.caution.cause


def test_a_claim_that_is_written_again_because_it_was_lost_says_nothing_of_what_is_held(announced: Story) -> None:
    announced.store = "another"
    announced.changed(gone=[ONE], listed=True)
    kept = msgspec.structs.replace(ONE, backings=(), lost=True)
    announced.changed(kept)
    assert (Class.NORMAL, (State.ERROR, Reason.HELD_BY_GUARD)) == (told(announced), said(announced))
    announced.changed(msgspec.structs.replace(kept, lost=False))
    assert (None, "") == (told(announced), announced.agent.parts.caution.cause)


def test_what_is_held_in_doubt_goes_with_the_proxy(announced: Story) -> None:
    announced.store = "another"
    announced.changed(gone=[ONE], listed=True)
    announced.host.service_proxy.become(ProxyMode.NONE)
    announced.look()
    assert (None, None) == (told(announced), said(announced))


def test_after_a_pass_that_failed_in_the_middle_is_known_what_is_announced(
    announced: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced.host.service_proxy.refuse(PUBLIC, [WEB])
    with monkeypatch.context() as patch:
        patch.setattr(announced.agent._reliance, "follow", _lost)
        with pytest.raises(OSError, match="in the middle"):
            announced.look()
    announced.agent.look_at_everything()
    announced.host.service_proxy.forward(PUBLIC, [WEB])
    announced.changed(BOTH)
    assert (None, (State.DOWN, Reason.NOT_PROXIED_YET)) == (told(announced), said(announced))


def _lost(*_: object) -> None:
    raise OSError("in the middle")
