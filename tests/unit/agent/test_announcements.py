# SPDX-License-Identifier: Apache-2.0
"""An announcement is told when an established peer has it, and a lost session is waited for."""

from collections.abc import Collection, Mapping

import msgspec
import pytest

from buoy.agent.announcements import GRACE, Announcements
from buoy.model.address import Address, Prefix
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.reason import Reason, Withhold

A, B = Prefix("198.51.100.1/32"), Prefix("198.51.100.2/32")
UP = PeerSession(name="peer_tor", address=Address("192.0.2.1"), asn=64511, state="Established", exported=2)
LOST = PeerSession(name="peer_tor", address=Address("192.0.2.1"), asn=64511, state="Active")
SHUT = PeerSession(name="peer_tor", address=Address("192.0.2.1"), asn=64511, state="Down")
OTHER = PeerSession(name="peer_other", address=Address("192.0.2.2"), asn=64511, state="Active")
MESH = PeerSession(name="node_compute_2_v4", address=Address("192.0.2.4"), asn=64512, state="Established")
UNLEARNED = Withhold(Reason.NOT_VERIFIED, {"missing": "BIRD's learned route"})
FILTERED = Withhold(Reason.FILTERED_BY_EXPORT, {"peers": "tor"})
SILENT = Withhold(Reason.NO_ESTABLISHED_PEER, {"node": "compute-1"})


class Bird:
    """A speaker whose sessions and exports are what the test says."""

    inside: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.known: dict[Prefix, Withhold | None] = {}
        self.up: tuple[PeerSession, ...] = (UP,)
        self.away = False
        self.asked: list[tuple[Prefix, ...]] = []

    def sessions(self) -> tuple[PeerSession, ...]:
        if self.away:
            raise DataplaneError("birdc", "no such file")
        return self.up

    def exported(self, prefixes: Collection[Prefix]) -> Mapping[Prefix, Withhold | None]:
        self.asked.append(tuple(sorted(prefixes)))
        return {prefix: self.known.get(prefix, FILTERED) for prefix in prefixes}

    def configure(self, text: str) -> None:
        raise AssertionError(text)


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def follower() -> tuple[Announcements, Bird, Clock]:
    bird, clock = Bird(), Clock()
    return Announcements(bird, "compute-1", clock), bird, clock


def test_a_prefix_is_asked_for_until_a_peer_has_it() -> None:
    announcements, bird, _ = follower()
    announcements.follow({A}, ())
    assert announcements.look() == {A}
    assert announcements.answer(A) == FILTERED
    bird.known[A] = None
    assert announcements.look() == {A}
    assert announcements.answer(A) is None
    assert announcements.look() == frozenset()
    assert bird.asked == [(A,), (A,)]


def test_pauses_between_questions_grow_to_the_poll_interval() -> None:
    announcements, _, _ = follower()
    announcements.follow({A}, ())
    pauses = []
    for _ in range(12):
        announcements.look()
        pauses.append(announcements.due())
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0


@pytest.mark.parametrize(("inside", "answer"), [(frozenset[str](), None), (frozenset({"peer_reflector"}), SILENT)])
def test_what_other_nodes_alone_were_told_is_told_to_nobody_where_there_is_a_router(
    inside: frozenset[str], answer: Withhold | None
) -> None:
    announcements, bird, _ = follower()
    bird.known[A] = None
    bird.inside = inside
    bird.up = (msgspec.structs.replace(UP, name="peer_reflector"), LOST)
    announcements.follow({A}, ())
    announcements.look()
    assert announcements.answer(A) == answer


def test_without_a_session_nothing_is_asked_per_prefix() -> None:
    announcements, bird, _ = follower()
    bird.up = (LOST,)
    announcements.follow({A, B}, ())
    assert announcements.look() == {A, B}
    assert announcements.answer(A) == SILENT
    assert bird.asked == []


def test_a_lost_session_counts_only_after_the_grace_time() -> None:
    announcements, bird, clock = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.up = (LOST,)
    clock.now += 2
    assert announcements.look() == frozenset()
    clock.now += GRACE - 1
    assert announcements.look() == frozenset()
    clock.now += 2
    assert announcements.look() == {A}
    assert announcements.answer(A) == SILENT


def test_a_session_that_was_shut_down_by_hand_is_not_waited_for() -> None:
    announcements, bird, clock = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.up = (OTHER, SHUT)
    clock.now += 1
    assert announcements.look() == {A}
    assert announcements.answer(A) == SILENT


def test_a_session_that_fell_and_is_then_shut_down_is_waited_for_no_longer() -> None:
    announcements, bird, clock = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.up = (LOST,)
    clock.now += 1
    assert announcements.look() == frozenset()
    bird.up = (SHUT,)
    clock.now += 1
    assert announcements.look() == {A}


def test_one_of_two_lost_sessions_that_fell_is_waited_for() -> None:
    announcements, bird, clock = follower()
    bird.up = (UP, msgspec.structs.replace(OTHER, state="Established"))
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.up = (SHUT, OTHER)
    clock.now += 1
    assert announcements.look() == frozenset()
    assert announcements.answer(A) is None


def test_a_bird_that_is_away_is_waited_for_and_its_sessions_after_it() -> None:
    announcements, bird, clock = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.away = True
    clock.now += 1
    assert announcements.look() == frozenset()
    bird.away, bird.up = False, (LOST,)
    clock.now += 1
    assert announcements.look() == frozenset()
    assert announcements.answer(A) is None


def test_a_session_that_returns_has_everything_asked_again() -> None:
    announcements, bird, clock = follower()
    bird.away = True
    announcements.follow({A}, ())
    announcements.look()
    assert announcements.answer(A) == Withhold(Reason.BIRD_AWAY, {"node": "compute-1"})
    bird.away, bird.known[A] = False, None
    clock.now += 2
    assert announcements.look() == {A}
    assert announcements.answer(A) is None


def test_a_withdrawn_prefix_is_forgotten() -> None:
    announcements, bird, _ = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    announcements.follow((), {A})
    assert announcements.answer(A) is not None


def test_what_was_just_announced_is_nothing_to_worry_about_until_the_pauses_are_over() -> None:
    announcements, bird, _ = follower()
    bird.known[A] = UNLEARNED
    announcements.follow({A}, ())
    young = announcements.answer(A)
    assert young is not None
    assert (Reason.NOT_TOLD_YET, "198.51.100.1") == (young.reason, young.details["address"])
    answers: list[Withhold | None] = []
    while not answers or announcements.due() < 1:
        announcements.look()
        answers.append(announcements.answer(A))
    announcements.look()
    assert ([young] * len(answers), UNLEARNED) == (answers, announcements.answer(A))


def test_where_a_router_is_given_another_node_does_not_count() -> None:
    announcements, bird, _ = follower()
    bird.up = (MESH, LOST)
    announcements.follow({A}, ())
    announcements.look()
    assert (SILENT, []) == (announcements.answer(A), bird.asked)


def test_what_was_settled_while_silent_is_not_looked_at_again_until_a_session_returns() -> None:
    announcements, bird, clock = follower()
    bird.up = (LOST,)
    announcements.follow({A, B}, ())
    assert {A, B} == announcements.look()
    clock.now += 2
    assert frozenset() == announcements.look()
    bird.up, bird.known = (UP,), {A: None, B: None}
    clock.now += 2
    assert {A, B} == announcements.look()


def test_a_question_of_a_person_is_asked_at_once_and_without_patience() -> None:
    announcements, bird, clock = follower()
    bird.known[A] = None
    announcements.follow({A}, ())
    announcements.look()
    bird.known[A] = SILENT
    clock.now += 2
    assert (None, SILENT) == (announcements.answer(A), announcements.ask(A))


def test_a_session_that_tells_fewer_than_it_did_has_everything_asked_again() -> None:
    announcements, bird, clock = follower()
    bird.known = {A: None, B: None}
    announcements.follow({A, B}, ())
    announcements.look()
    bird.up = (msgspec.structs.replace(UP, exported=1),)
    bird.known = {A: None, B: FILTERED}
    clock.now += 2
    assert {B} == announcements.look()
    assert FILTERED == announcements.answer(B)
    clock.now += 2
    announcements.look()
    assert [(A, B), (A, B), (B,)] == bird.asked


def test_a_withdrawal_is_no_reason_to_ask_again() -> None:
    announcements, bird, clock = follower()
    bird.known = {A: None, B: None}
    announcements.follow({A, B}, ())
    announcements.look()
    announcements.follow((), {A})
    bird.up = (msgspec.structs.replace(UP, exported=1),)
    clock.now += 2
    announcements.look()
    assert [(A, B)] == bird.asked


def test_sessions_that_share_the_prefixes_are_not_asked_about_them_each_second() -> None:
    announcements, bird, clock = follower()
    bird.up = (msgspec.structs.replace(UP, exported=1), msgspec.structs.replace(UP, name="peer_tor_v6", exported=1))
    bird.known = {A: None, B: None}
    announcements.follow({A, B}, ())
    for _ in range(10):
        announcements.look()
        clock.now += 1.0
    assert 2 == len(bird.asked)


def test_a_bird_that_hangs_is_not_asked_again_at_once() -> None:
    announcements, bird, clock = follower()
    asked: list[float] = []

    def hang() -> tuple[PeerSession, ...]:
        asked.append(clock.now)
        clock.now += 1.0
        raise DataplaneError("birdc", "timed out")

    bird.sessions = hang  # type: ignore[method-assign]  # another BIRD
    for _ in range(12):
        announcements.look()
        clock.now += 0.25
    assert [100.0, 103.0] == asked
