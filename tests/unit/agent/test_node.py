# SPDX-License-Identifier: Apache-2.0
"""An agent's life as stories: what it does, what it says, and what it leaves alone."""

from pathlib import Path

import pytest

from buoy.agent import attached
from buoy.model.address import host_prefix
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.nodestate import Announcement, Class, Key, Step, Table
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Attachment
from buoy.model.status import AddressStatus, State
from tests.unit.agent.story import ROUTER, Story
from tests.unit.planner.cloud import FIXED, HERE, SERVICE, THERE, endpoint, floating, port

TOLD = Key(Table.ANNOUNCEMENT, (host_prefix(SERVICE),))
FILTERED = Withhold(Reason.FILTERED_BY_EXPORT, {"node": HERE})


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


@pytest.fixture
def served(story: Story) -> Story:
    """Return a story in which a floating IP is served."""
    story.host.set_link("tap1")
    story.listed(port(), floating())
    return story


def said(story: Story) -> tuple[State, Reason | None] | None:
    status = story.address(SERVICE)
    return None if status is None else (status.state, status.reason)


def test_nothing_happens_before_the_store_has_spoken(story: Story) -> None:
    story.host.set_link("tap1")
    assert (None, []) == (story.look(), story.host.done)


def test_what_the_kernel_tells_before_the_store_speaks_is_taken_in_and_kept(story: Story) -> None:
    story.host.set_link("tap1")
    story.look()
    waiting = story.host.disturbances().links
    story.look()
    assert (frozenset(), frozenset({"tap1"})) == (waiting, story.agent._late.links)


def test_a_floating_ip_is_programmed_announced_and_said(served: Story) -> None:
    assert AddressStatus(
        node=HERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True, revision=10
    ) == served.address(SERVICE)
    assert (True, True) == (served.holds(Table.DNAT, SERVICE), served.holds(*TOLD[:1], *TOLD.name))


def test_a_port_is_down_until_its_tap_is_there(story: Story) -> None:
    story.listed(port(), floating())
    workload = story.workload()
    assert workload is not None
    assert ((State.DOWN, Reason.TAP_MISSING), (State.DOWN, Reason.TAP_MISSING)) == (
        (workload.state, workload.reason),
        said(story),
    )
    story.host.set_link("tap1")
    story.look()
    workload = story.workload()
    assert workload is not None
    assert (State.ACTIVE, (State.ACTIVE, None)) == (workload.state, said(story))


def test_a_tap_that_goes_down_takes_the_status_with_it(served: Story) -> None:
    served.host.set_link("tap1", up=False)
    served.look()
    assert (State.DOWN, Reason.TAP_DOWN) == said(served)
    served.host.set_link("tap1")
    served.look()
    assert (State.ACTIVE, None) == said(served)


def test_a_pod_to_which_the_host_loses_its_route_takes_its_floating_ip_with_it_until_it_is_back(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = endpoint(workload="shop/db-0", attached=Attachment.HOST)
    story.listed(floating(endpoints=(pod,)))
    assert (State.ACTIVE, None) == said(story)
    story.host.guests.cut = frozenset({FIXED})
    assert attached.PATIENCE >= (story.look() or 0) > 0
    assert ((State.ACTIVE, None), {TOLD}) == (said(story), set(story.host.observe({TOLD})))
    story.host.guests.cut = frozenset()
    story.look()
    assert (State.ACTIVE, None) == said(story)
    monkeypatch.setattr(attached, "PATIENCE", 0.0)
    story.host.guests.cut = frozenset({FIXED})
    story.look()
    assert ((State.ERROR, Reason.NO_ROUTE), {}) == (said(story), story.host.observe({TOLD}))
    assert Reason.NO_ROUTE is story.agent.desired.withheld[SERVICE].reason
    story.host.guests.cut = frozenset()
    story.look()
    assert ((State.ACTIVE, None), {TOLD}) == (said(story), set(story.host.observe({TOLD})))
    story.changed(gone=(floating(),))
    assert frozenset() == story.host.guests.followed


def test_a_pod_that_has_no_route_yet_when_it_is_given_an_address_is_not_announced(story: Story) -> None:
    story.host.guests.cut = frozenset({FIXED})
    story.listed(floating(endpoints=(endpoint(workload="shop/db-0", attached=Attachment.HOST),)))
    assert ((State.ERROR, Reason.NO_ROUTE), {}) == (said(story), story.host.observe({TOLD}))


def test_a_deleted_claim_leaves_nothing_and_nothing_is_said_of_it(served: Story) -> None:
    served.changed(gone=[floating()])
    assert (None, False, False) == (
        said(served),
        served.holds(Table.DNAT, SERVICE),
        served.holds(*TOLD[:1], *TOLD.name),
    )
    assert served.address(FIXED) is not None


def test_a_claim_that_moves_away_is_silent_here(served: Story) -> None:
    served.changed(floating(endpoints=(endpoint(node=THERE, workload="port9"),)))
    assert (None, False) == (said(served), served.holds(*TOLD[:1], *TOLD.name))


def test_what_the_host_refuses_is_an_error_until_it_does_not(story: Story) -> None:
    story.host.set_link("tap1")
    story.host.refuse = lambda step: "no room" if _is_about(step, Table.DNAT) else None
    story.listed(port(), floating())
    assert (State.ERROR, Reason.REFUSED_BY_KERNEL) == said(story)
    assert not story.holds(*TOLD[:1], *TOLD.name), "what cannot be forwarded is not announced"
    assert (State.ACTIVE, None) == (getattr(story.address(FIXED), "state", None), None)
    story.host.refuse = lambda _: None
    story.look()
    assert (State.ACTIVE, None) == said(story)


def test_a_refusal_whose_cause_lies_in_the_settings_of_the_interface_is_mended_there(story: Story) -> None:
    story.host.set_link("tap1")
    settings = Key(Table.LINK, ("tap1",))
    story.listed(port(), floating())
    story.host.damage(Key(Table.NEIGHBOUR, ("tap1", FIXED)))
    story.host._entries.pop(settings)  # a setting of which the kernel tells nobody
    story.host.refuse = lambda step: None if story.holds(*settings[:1], "tap1") else _unless_about(step, settings)
    story.look()
    story.look()
    assert (True, (State.ACTIVE, None)) == (story.holds(Table.NEIGHBOUR, "tap1", FIXED), said(story))


def test_a_refusal_that_goes_on_is_tried_with_growing_pauses(story: Story) -> None:
    story.host.set_link("tap1")
    story.host.refuse = lambda step: "no room" if _is_about(step, Table.DNAT) else None
    story.listed(port(), floating())
    pauses = [story.look() for _ in range(12)]
    assert all(pause is not None and pause <= 1.0 for pause in pauses)
    assert [] != [step for step in story.host.done if not _is_about(step, Table.DNAT)]


def test_damage_by_another_hand_is_repaired_and_counted(served: Story) -> None:
    served.host.damage(TOLD)
    served.look()
    assert (True, 1.0) == (
        served.holds(*TOLD[:1], *TOLD.name),
        served.count("buoy_repairs_total", table="announcement"),
    )
    assert (State.ACTIVE, None) == said(served)


@pytest.mark.parametrize("key", [TOLD, Key(Table.LINK, ("tap1",))])
def test_damage_of_which_nobody_is_told_is_found_by_the_audit_part_by_part(served: Story, key: Key) -> None:
    served.host.damage_in_secret(key)
    served.look()
    assert not served.holds(*key[:1], *key.name)
    served.agent.audit.interval = 0.0
    served.agent.audit.over(0.0)
    before = len(served.host.done)
    while not served.holds(*key[:1], *key.name):
        assert (served.look() or 0.0) < 1.0
    assert (1, 1.0) == (
        len(served.host.done) - before,
        served.count("buoy_repairs_total", table=key.table.name.lower()),
    )


def test_our_own_changes_are_not_repairs(served: Story) -> None:
    served.changed(gone=[floating()])
    served.changed(floating())
    assert [] == [
        sample
        for family in served.telemetry.registry.collect()
        for sample in family.samples
        if sample.name == "buoy_repairs_total"
    ]


@pytest.mark.parametrize("why", [FILTERED, Withhold(Reason.NO_ESTABLISHED_PEER, {"node": HERE})])
def test_an_address_no_peer_was_told_of_is_an_error(story: Story, why: Withhold) -> None:
    story.host.set_link("tap1")
    story.bird.no[host_prefix(SERVICE)] = why
    story.listed(port(), floating())
    status = story.address(SERVICE)
    assert status is not None
    assert (State.ERROR, why.reason, True, False) == (
        status.state,
        status.reason,
        status.programmed,
        status.announced,
    )


def test_a_lost_router_is_said_after_the_grace_and_forgotten_when_it_is_back(served: Story) -> None:
    served.bird.up = (PeerSession(name="peer_tor", address=ROUTER.address, asn=64511, state="Active"),)
    served.look(2)
    assert (State.ACTIVE, None) == said(served)
    served.look(10)
    assert (State.ERROR, Reason.NO_ESTABLISHED_PEER) == said(served)
    served.bird.up = (ROUTER,)
    served.look(2)
    assert (State.ACTIVE, None) == said(served)


def test_a_session_is_a_gauge(served: Story) -> None:
    assert 1.0 == served.count("buoy_bgp_session_up", peer="peer_tor")
    served.bird.up = (PeerSession(name="peer_tor", address=ROUTER.address, asn=64511, state="Active"),)
    served.look(2)
    assert 0.0 == served.count("buoy_bgp_session_up", peer="peer_tor")


def test_a_pass_in_which_nothing_happened_computes_and_says_nothing(served: Story) -> None:
    before = (served.agent.desired.computed, len(served.host.done), served.count("buoy_passes_total"))
    for _ in range(5):
        served.look(1)
    assert before == (served.agent.desired.computed, len(served.host.done), served.count("buoy_passes_total"))


def test_times_are_taken_once_for_each_change(served: Story) -> None:
    served.look(1)
    served.changed(port(hostname="other"))
    assert (1.0, 2.0) == (
        served.count("buoy_change_to_programmed_seconds_count"),
        served.count("buoy_change_to_announced_seconds_count"),
    )


def test_a_pass_that_raises_on_the_way_leaves_no_status_behind(served: Story) -> None:
    def fall(step: Step) -> str | None:
        raise DataplaneError("netlink", f"no answer to {step}")

    served.host.refuse = fall
    with pytest.raises(DataplaneError):
        served.changed(gone=[port(), floating()])
    served.agent.failed(ValueError("what it raised"))
    served.host.refuse = lambda _: None
    served.look()
    assert (None, None, False) == (said(served), served.workload(), served.holds(*TOLD[:1], *TOLD.name))


def test_a_new_agent_on_a_whole_host_changes_nothing(served: Story) -> None:
    done = len(served.host.done)
    served.start()
    served.listed(port(), floating())
    assert (done, (State.ACTIVE, None)) == (len(served.host.done), said(served))


def test_draining_changes_the_preference_and_withdraws_nothing(served: Story) -> None:
    done = len(served.host.done)
    served.agent.prefer(Class.DRAIN)
    served.look()
    acts = [step.act for step in served.host.done[done:]]
    assert {Announcement("tap1", Class.DRAIN)} == {getattr(act, "after", None) for act in acts}
    assert (State.ACTIVE, None) == said(served)


def test_what_a_node_counts_of_itself(served: Story) -> None:
    assert ({f"workloads/{HERE}/port1"}, {SERVICE}) == (served.agent.workloads, served.agent.service_ips)
    served.changed(gone=[port(), floating()])
    assert (set(), set()) == (served.agent.workloads, served.agent.service_ips)


def test_a_pass_that_raises_is_followed_by_one_over_everything(served: Story) -> None:
    served.agent.failed(ValueError("a message nobody expected"))
    computed = served.agent.desired.computed
    served.look()
    assert (True, (State.ACTIVE, None)) == (served.agent.desired.computed > computed, said(served))


def _unless_about(step: Step, key: Key) -> str | None:
    return None if getattr(step.act, "key", None) == key else "EINVAL: IPv6 is disabled on this device"


def _is_about(step: Step, table: Table) -> bool:
    key = getattr(step.act, "key", None)
    return key is not None and key.table is table
