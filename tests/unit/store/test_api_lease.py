# SPDX-License-Identifier: Apache-2.0
"""Who is taken as alive by whoever watches leases."""

import pytest

from buoy.store.api_lease import GRACE, UNPROVEN, Lease, LeaseSpec, Liveness, Metadata
from buoy.store.api_names import ObjectName

NODE, OTHER = ObjectName("buoy-system", "node-1"), ObjectName("buoy-system", "node-2")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lease(renewed: str = "one", holder: str = "agent", ttl: int = 15, version: str = "1") -> Lease:
    spec = LeaseSpec(holder_identity=holder, lease_duration_seconds=ttl, renew_time=renewed)
    return Lease(metadata=Metadata(name=NODE.name, namespace=NODE.namespace, resource_version=version), spec=spec)


def heard_of(*names: ObjectName, ttl: int = 15) -> tuple[Liveness, Clock]:
    clock = Clock()
    liveness = Liveness(clock)
    assert frozenset(names) == liveness.take({name: lease(ttl=ttl) for name in names})
    return liveness, clock


def pass_time(liveness: Liveness, clock: Clock, seconds: int, *beating: ObjectName) -> frozenset[ObjectName]:
    """Let seconds pass in which some leases are renewed, and return those that lapsed."""
    lapsed: frozenset[ObjectName] = frozenset()
    for _ in range(seconds):
        clock.now += GRACE
        liveness.take({name: lease(str(clock.now)) for name in beating})
        lapsed |= liveness.lapse()
    return lapsed


def test_lease_is_held_when_first_heard_of_and_lapses_if_not_renewed() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    assert frozenset() == pass_time(liveness, clock, 15, OTHER)
    assert (True, GRACE) == (liveness.alive(NODE), liveness.wait())
    assert frozenset({NODE}) == pass_time(liveness, clock, 1, OTHER)
    assert (False, True) == (liveness.alive(NODE), liveness.alive(OTHER))
    assert frozenset() == pass_time(liveness, clock, 20, OTHER), "it is told once"


def test_two_clocks_are_not_compared() -> None:
    liveness, clock = heard_of(OTHER)
    liveness.take({NODE: lease("1999-01-01T00:00:00.000000Z")})
    assert frozenset() == pass_time(liveness, clock, 14, OTHER)
    assert frozenset() == liveness.take({NODE: lease("1999-01-01T00:00:10.000000Z")})
    assert frozenset() == pass_time(liveness, clock, 14, OTHER)


def test_another_write_is_no_renewal() -> None:
    liveness, clock = heard_of(NODE)
    pass_time(liveness, clock, 14)
    assert frozenset() == liveness.take({NODE: lease(version="2")})
    assert frozenset({NODE}) == pass_time(liveness, clock, 2)
    assert frozenset() == liveness.take({NODE: lease(version="3")})
    assert not liveness.alive(NODE)


def test_lapsed_lease_that_is_renewed_is_held_again() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    pass_time(liveness, clock, 16, OTHER)
    assert frozenset({NODE}) == liveness.take({NODE: lease("two")})
    assert liveness.alive(NODE)


def test_outage_proves_nobody_dead() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    pass_time(liveness, clock, 15, OTHER)
    liveness.interrupted()
    assert frozenset() == pass_time(liveness, clock, 15, OTHER)
    assert frozenset({NODE}) == pass_time(liveness, clock, 1, OTHER)


def test_outage_brings_nobody_back() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    pass_time(liveness, clock, 16, OTHER)
    liveness.interrupted()
    assert not liveness.alive(NODE)


def test_silence_of_all_proves_nobody_dead_for_long() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    pass_time(liveness, clock, 3, OTHER)
    assert frozenset() == pass_time(liveness, clock, 60)
    assert frozenset() == pass_time(liveness, clock, 10, NODE, OTHER), "who was silent as all were is heard again"
    assert frozenset({NODE, OTHER}) == pass_time(liveness, clock, 15 * UNPROVEN + 1)


def test_who_was_stopped_itself_hears_first_what_came_meanwhile() -> None:
    liveness, clock = heard_of(NODE, OTHER)
    clock.now += 100
    liveness.take({OTHER: lease("later")})
    assert frozenset() == liveness.lapse()
    liveness.take({NODE: lease("later")})
    assert frozenset() == pass_time(liveness, clock, 14, OTHER)


def test_deleted_and_released_leases_are_not_held() -> None:
    liveness, _ = heard_of(NODE, OTHER)
    assert frozenset({NODE, OTHER}) == liveness.take({NODE: None, OTHER: lease(holder="")})
    assert frozenset() == liveness.take({NODE: None})
    assert (False, False, None) == (liveness.alive(NODE), liveness.alive(OTHER), liveness.wait())


def test_wait_is_for_the_first_that_may_lapse() -> None:
    liveness, clock = heard_of(NODE, ttl=10)
    assert 10.0 * UNPROVEN == liveness.wait()
    clock.now += 6
    liveness.take({OTHER: lease(ttl=15)})
    assert 4.0 == liveness.wait()
    clock.now += 5
    assert 0.0 == liveness.wait()
    assert frozenset() == liveness.lapse()
    assert GRACE == liveness.wait()
    clock.now += GRACE
    assert frozenset({NODE}) == liveness.lapse()


RENEWED = "2026-11-21T18:00:00.000000Z"


@pytest.mark.parametrize(
    ("date", "is_held"),
    [
        ("Sat, 21 Nov 2026 18:00:22 GMT", True),
        ("Sat, 21 Nov 2026 18:00:23 GMT", False),
        ("Sat, 21 Nov 2026 17:00:00 GMT", True),
        ("", True),
        ("yesterday", True),
    ],
)
def test_who_looks_once_takes_a_lease_for_over_that_is_so_by_the_servers_clock(date: str, *, is_held: bool) -> None:
    liveness = Liveness(Clock())
    turned = liveness.glance({NODE: lease(RENEWED), OTHER: lease("never")}, date)
    assert (is_held, True) == (liveness.alive(NODE), liveness.alive(OTHER))
    assert frozenset({NODE, OTHER} if is_held else {OTHER}) == turned


def test_who_goes_on_looking_tells_what_turned() -> None:
    liveness = Liveness(Clock())
    liveness.glance({NODE: lease(RENEWED)}, "")
    assert frozenset({NODE}) == liveness.glance({NODE: lease(RENEWED)}, "Sat, 21 Nov 2026 18:01:00 GMT")
    later = {NODE: lease("2026-11-21T18:01:01.000000Z")}
    assert frozenset({NODE}) == liveness.glance(later, "Sat, 21 Nov 2026 18:01:02 GMT")
    assert frozenset() == liveness.glance({OTHER: None}, "Sat, 21 Nov 2026 18:01:02 GMT")
