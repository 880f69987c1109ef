"""An announcement is told when an established peer has it, and a lost session is waited for."""

from collections.abc import Collection, Mapping

from buoy.agent.announcements import GRACE, Announcements
from buoy.model.address import Address, Prefix
from buoy.model.errors import DataplaneError
from buoy.model.node import PeerSession
from buoy.model.reason import Reason, Withhold

A, B = Prefix("198.51.100.1/32"), Prefix("198.51.100.2/32")
UP = PeerSession(name="tor", address=Address("192.0.2.1"), asn=64511, state="Established")
LOST = PeerSession(name="tor", address=Address("192.0.2.1"), asn=64511, state="Active")
FILTERED = Withhold(Reason.FILTERED_BY_EXPORT, {"peers": "tor"})
SILENT = Withhold(Reason.NO_ESTABLISHED_PEER, {"node": "compute-1"})


class Bird:
    """A speaker whose sessions and exports are what the test says."""

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
