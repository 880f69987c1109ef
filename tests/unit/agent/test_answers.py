# SPDX-License-Identifier: Apache-2.0
"""Questions to an agent: each answer is looked up the moment it is asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from buoy.agent.answers import Answers
from buoy.agent.inspect import _reply
from buoy.agent.kept import Draining
from buoy.model.address import host_prefix
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.nodestate import Class, Key, Table
from buoy.model.reason import Reason, Withhold
from tests.unit.agent.story import Story
from tests.unit.planner.cloud import HERE, SERVICE, floating, port

DNAT = Key(Table.DNAT, (SERVICE,))


class Person:
    """Asks one agent, and counts how often it was woken."""

    def __init__(self, directory: Path) -> None:
        self.story = Story(directory)
        self.draining = Draining(str(directory / "state" / "draining"))
        self.woken = 0
        self._answers = Answers(self.story.agent, self.draining, self._wake).all()

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, name: str, **arguments: str) -> Any:  # noqa: ANN401  # whatever JSON has
        question: Mapping[str, Any] = {"ask": name, **arguments}
        return self._answers[name](question)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    asker = Person(tmp_path)
    asker.story.host.set_link("tap1")
    return asker


@pytest.fixture
def served(person: Person) -> Person:
    person.story.listed(port(), floating())
    return person


def reasons(person: Person) -> list[str]:
    return [line["reason"] for line in person.ask("why", address=SERVICE) if not line["ok"]]


def test_nothing_is_explained_before_the_store_has_spoken(person: Person) -> None:
    for name in ("plan", "audit", "release-guard"):
        with pytest.raises(StoreUnavailable):
            person.ask(name)
    with pytest.raises(StoreUnavailable):
        person.ask("why", address=SERVICE)


def test_an_address_that_is_none_is_refused_by_name(served: Person) -> None:
    with pytest.raises(InvalidInput, match="address"):
        served.ask("why", address="nonsense")


def test_why_looks_at_the_host_and_at_bird_this_moment(served: Person) -> None:
    assert [] == reasons(served)
    served.story.host.damage(DNAT)
    served.story.bird.no[host_prefix(SERVICE)] = Withhold(Reason.FILTERED_BY_EXPORT, {"node": HERE})
    assert ["not-verified", "filtered-by-export"] == reasons(served)


def test_whoever_looks_at_the_host_wakes_the_loop_for_what_it_had_to_tell(served: Person) -> None:
    for number, question in enumerate(("plan", "audit", "why"), 1):
        served.ask(question, address=SERVICE)
        assert number == served.woken


def test_plan_and_audit_name_what_differs_and_do_nothing(served: Person) -> None:
    assert ([], []) == (served.ask("plan"), served.ask("audit")["wrong"])
    served.story.host.damage(DNAT)
    steps = served.ask("plan")
    assert [("build", "add dnat 198.51.100.1", "-", "target 192.0.2.1", False)] == [
        tuple(step.values()) for step in steps if step["phase"] == "build"
    ]
    assert [{"entry": "dnat 198.51.100.1", "wanted": "target 192.0.2.1", "seen": "-"}] == served.ask("audit")["wrong"]
    assert not served.story.holds(*DNAT[:1], *DNAT.name)


def test_a_question_ends_no_flow_and_a_pass_over_everything_judges_those_of_service_ips(served: Person) -> None:
    assert [frozenset({SERVICE})] == served.story.host.judged
    for question in ("plan", "audit", "why"):
        served.ask(question, address=SERVICE)
    served.story.look()
    assert 1 == len(served.story.host.judged)
    served.ask("release-guard")
    served.story.look()
    assert 2 == len(served.story.host.judged)


def test_held_removals_are_in_the_plan_until_a_person_releases_them(served: Person) -> None:
    story = served.story
    story.store = "another"
    story.start()
    person = Person.__new__(Person)
    person.story, person.draining, person.woken = story, served.draining, 0
    person._answers = Answers(story.agent, served.draining, person._wake).all()
    story.listed()
    assert True in {step["held"] for step in person.ask("plan")}
    assert "another" in person.ask("audit")["held"]
    woken = person.woken
    assert "another" in person.ask("release-guard")
    assert woken + 1 == person.woken
    story.look()
    assert ([], "") == (person.ask("plan"), person.ask("audit")["held"])


def test_draining_is_kept_for_the_next_agent_and_taken_back(served: Person) -> None:
    served.ask("drain")
    assert (True, Class.DRAIN, 1) == (bool(served.draining), served.story.agent.desired.here.preference, served.woken)
    served.ask("undrain")
    assert (False, Class.NORMAL) == (bool(served.draining), served.story.agent.desired.here.preference)
    served.ask("undrain")
    assert not served.draining


def test_sessions_are_those_bird_told_last(served: Person) -> None:
    assert ["peer_tor"] == [session["name"] for session in served.ask("sessions")]


def test_a_disk_that_refuses_is_an_answer_and_no_traceback() -> None:
    def refuse(_: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device", "/var/lib/buoy/draining")

    assert {"error": "[Errno 28] No space left on device: '/var/lib/buoy/draining'"} == json.loads(
        _reply({"drain": refuse}, b'{"ask": "drain"}')
    )
