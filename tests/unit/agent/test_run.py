# SPDX-License-Identifier: Apache-2.0
"""What an agent says of itself is there for as long as it lives."""

from pathlib import Path

import pytest

from buoy.agent.run import Process, run_agent
from buoy.dataplane.fake_uplinks import FakeUplinks
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.errors import DataplaneError, InvalidInput
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, State
from buoy.runtime.health import Pulse
from buoy.runtime.settings import Settings
from buoy.store.memory import MemoryStore
from tests.store.watching import Reports
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import HERE, SERVICE, port


async def test_a_node_whose_document_somebody_deleted_says_it_again(tmp_path: Path) -> None:
    story, store = Story(tmp_path), MemoryStore()
    settings = Settings(node=HERE, addresses=(Address("192.0.2.250"),))
    process = Process(settings, story.agent, (store, Reports()), Pulse())
    await process._beat(await store.leases.grant(15))
    said, own = process._is_news(), documents.path(process._node())
    process.hear(Batch(Snapshot(Identity("cluster", 11), {}, {}, {}), frozenset({own})))
    assert (False, True) == (said, process._is_news())


async def beating(story: Story, pulse: Pulse | None = None) -> Process:
    """Return the process of a story's agent, which has just said what it is."""
    store = MemoryStore()
    settings = Settings(node=HERE, addresses=(Address("192.0.2.250"),))
    process = Process(settings, story.agent, (store, Reports()), pulse or Pulse())
    await process._beat(await store.leases.grant(15))
    return process


async def test_a_session_that_is_lost_is_news_and_one_more_workload_can_wait(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.listed(port(id="first", interface="tap9", fixed_ips=()))
    process = await beating(story)
    story.changed(port())
    assert (2, False) == (process._node().workloads, process._is_news())
    story.bird.up = ()
    story.look(2)
    assert process._is_news()


async def test_why_passes_fail_is_news_until_one_does_not(tmp_path: Path) -> None:
    process = await beating(Story(tmp_path))
    process.failed(DataplaneError("nft", "Operation not permitted"))
    words = "what has changed: the agent's passes fail: nft: Operation not permitted"
    assert ((words,), True) == (process._node().problems, process._is_news())
    process.run_pass()
    assert ((), False) == (process._node().problems, process._is_news())


async def test_an_uplink_that_forwards_nothing_is_named_with_its_remedy(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.listed(port())
    process = await beating(story)
    uplinks = story.host.uplinks
    assert isinstance(uplinks, FakeUplinks)
    assert frozenset(session.address for session in story.bird.sessions()) == uplinks.peers != frozenset()
    uplinks.off = ("eth0.7",)
    [problem] = [each for each in process._node().problems if "eth0.7" in each]
    assert (True, True) == ("sysctl -w net.ipv4.conf.eth0/7.forwarding=1" in problem, process._is_news())


@pytest.mark.parametrize(("boot", "gone"), [("", False), ("another", True)])
async def test_what_was_said_before_a_boot_stands_no_longer_than_until_a_pass_fails(
    tmp_path: Path, boot: str, *, gone: bool
) -> None:
    (tmp_path / "store.json").write_text(f'{{"store": "cluster", "revision": 10, "boot": "{boot}"}}')
    story = Story(tmp_path)
    process = await beating(story)
    status = AddressStatus(node=HERE, address=SERVICE, state=State.ACTIVE)
    process.hear(Batch(Snapshot(Identity("cluster", 11), {documents.path(status): status}, {}, {}), None, True))
    assert not story.agent.reports.waiting
    process.failed(DataplaneError("nft", "Operation not permitted"))
    assert gone == story.agent.reports.waiting


@pytest.mark.parametrize("fails", [False, True])
async def test_a_boot_is_remembered_until_the_first_pass_over_what_the_store_said(
    tmp_path: Path, *, fails: bool
) -> None:
    (tmp_path / "store.json").write_text('{"store": "cluster", "revision": 10, "boot": "another"}')
    story = Story(tmp_path)
    process = await beating(story)
    process.run_pass()
    process.failed(DataplaneError("nft", "Operation not permitted"))
    before = story.agent.parts.caution.rebooted
    if fails:
        process.hear(Batch(Snapshot(Identity("cluster", 11), {}, {}, {}), None, True))
        process.failed(DataplaneError("nft", "Operation not permitted"))
    else:
        story.listed()
        process.run_pass()
    assert (True, False) == (before, story.agent.parts.caution.rebooted)


async def test_counts_are_told_once_a_lease_is_old(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.listed()
    process = await beating(story)
    story.changed(port())
    process._beaten -= 15
    assert process._is_news()


async def test_a_service_proxy_that_is_stuck_is_news(tmp_path: Path) -> None:
    story = Story(tmp_path)
    process = await beating(story)
    story.host.service_proxy.freeze("does not answer")
    said = ("kube-proxy does not answer: what is not announced yet for Services waits",)
    assert (True, said) == (process._is_news(), process._node().problems)


async def test_an_agent_is_ready_after_its_first_pass_over_a_whole_listing(tmp_path: Path) -> None:
    story, pulse = Story(tmp_path), Pulse()
    process = await beating(story, pulse)
    process.run_pass()
    assert not pulse.ready
    story.listed()
    process.run_pass()
    assert pulse.ready


async def test_without_an_address_of_its_own_a_node_speaks_to_nobody_and_its_agent_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"addresses: .* name this node's own address in the settings"):
        await run_agent(Settings(node=HERE))
