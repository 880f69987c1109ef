"""What an agent says of itself is there for as long as it lives."""

from pathlib import Path

from buoy.agent.health import Pulse
from buoy.agent.run import Process
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.runtime.settings import Settings
from buoy.store.memory import MemoryStore
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import HERE


async def test_a_node_whose_document_somebody_deleted_says_it_again(tmp_path: Path) -> None:
    story, store = Story(tmp_path), MemoryStore()
    process = Process(Settings(node=HERE, addresses=(Address("192.0.2.250"),)), story.agent, store, Pulse())
    await process._beat(await store.leases.grant(15))
    said, own = process._is_news(), documents.path(process._node())
    process.hear(Batch(Snapshot(Identity("cluster", 11), {}, {}, {}), frozenset({own})))
    assert (False, True) == (said, process._is_news())
