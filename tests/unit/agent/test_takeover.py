# SPDX-License-Identifier: Apache-2.0
"""What an agent does about the word of other nodes: a step of its own where it serves the address, else nothing."""

from pathlib import Path

import msgspec
import pytest

from buoy.model import documents
from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.node import Node
from buoy.model.nodestate import Announcement, Change, Class
from buoy.model.snapshot import Batch, Identity, Snapshot
from buoy.model.status import AddressStatus, State
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import SERVICE, SERVICE2, THERE, endpoint, floating, port

OLD = AddressStatus(node=THERE, address=SERVICE, state=State.ACTIVE, programmed=True, announced=True)
STRANGE = AddressStatus(node=THERE, address=SERVICE2, state=State.ACTIVE, programmed=True, announced=True)


@pytest.fixture
def served(tmp_path: Path) -> Story:
    """Return a story in which a floating IP is served."""
    story = Story(tmp_path)
    story.host.set_link("tap1")
    story.listed(port(), floating())
    return story


def heard(story: Story, *wanted: Document, listed: bool = False) -> bool:
    """Let documents change in the store, and tell whether the agent asks for a pass."""
    story.revision += 1
    paths = {documents.path(document): document for document in wanted}
    story.documents = {**story.documents, **paths}
    revisions = dict.fromkeys(story.documents, story.revision)
    snapshot = Snapshot(Identity(story.store, story.revision), story.documents, revisions, {})
    return story.agent.take(Batch(snapshot, frozenset(paths), listed))


def test_the_preference_is_one_step_each_way_and_the_status_stays(served: Story) -> None:
    done = len(served.host.done)
    served.changed(OLD)
    served.changed(gone=[OLD])
    acts = [step.act for step in served.host.done[done:]]
    assert [Announcement("tap1", Class.TAKEOVER), Announcement("tap1", Class.NORMAL)] == [
        act.after for act in acts if isinstance(act, Change)
    ]
    after = served.address(SERVICE)
    assert (2, State.ACTIVE, True) == (len(acts), after and after.state, after and after.announced)


def test_only_the_word_of_what_is_served_here_is_worth_a_pass(served: Story) -> None:
    assert [False, True, False, True] == [
        heard(served, STRANGE),
        heard(served, OLD),
        heard(served, STRANGE, listed=True),
        heard(served, STRANGE, floating(endpoints=())),
    ]


def test_its_own_word_and_the_heartbeats_of_nodes_it_knows_are_worth_none(served: Story) -> None:
    said = served.address(SERVICE)
    there = Node(name=THERE, addresses=(Address("192.0.2.251"),))
    assert said
    assert [False, True, False, False] == [
        heard(served, said),
        heard(served, there),
        served.look() is None or heard(served, msgspec.structs.replace(there, workloads=7)),
        heard(served, msgspec.structs.replace(said, state=State.ERROR)),
    ]
    assert served.agent.reports.waiting


def test_what_was_overheard_counts_once_the_address_comes(served: Story) -> None:
    computed = served.agent.desired.computed
    heard(served, STRANGE)
    served.look()
    assert 0 == served.agent.desired.computed - computed
    done = len(served.host.done)
    served.changed(floating(address=SERVICE2, endpoints=(endpoint(),)))
    afters = [step.act.after for step in served.host.done[done:] if isinstance(step.act, Change)]
    assert [Announcement("tap1", Class.TAKEOVER)] == [each for each in afters if isinstance(each, Announcement)]
