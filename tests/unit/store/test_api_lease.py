# SPDX-License-Identifier: Apache-2.0
"""Who is taken as alive by whoever watches leases."""

from buoy.store.api_lease import Lease, LeaseSpec, Liveness, Metadata
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


def test_lease_is_held_when_first_heard_of_and_lapses_if_not_renewed() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    assert frozenset({NODE}) == liveness.take({NODE: lease()})
    clock.now += 14
    assert (frozenset(), True, 1.0) == (liveness.lapse(), liveness.alive(NODE), liveness.wait())
    clock.now += 1
    assert (frozenset({NODE}), False, None) == (liveness.lapse(), liveness.alive(NODE), liveness.wait())
    assert frozenset() == liveness.lapse(), "it is told once"


def test_renewal_begins_its_time_anew_by_our_clock() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease("1999-01-01T00:00:00.000000Z")})
    clock.now += 14
    assert frozenset() == liveness.take({NODE: lease("1999-01-01T00:00:10.000000Z")})
    clock.now += 14
    assert frozenset() == liveness.lapse()


def test_another_write_is_no_renewal() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease(version="1")})
    clock.now += 14
    liveness.take({NODE: lease(version="2")})
    clock.now += 1
    assert frozenset({NODE}) == liveness.lapse()
    assert frozenset() == liveness.take({NODE: lease(version="3")})
    assert not liveness.alive(NODE)


def test_lapsed_lease_that_is_renewed_is_held_again() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease("one")})
    clock.now += 15
    liveness.lapse()
    assert frozenset({NODE}) == liveness.take({NODE: lease("two")})
    assert liveness.alive(NODE)


def test_outage_proves_nobody_dead() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease()})
    clock.now += 60
    liveness.interrupted()
    assert frozenset() == liveness.lapse()
    clock.now += 15
    assert frozenset({NODE}) == liveness.lapse()


def test_outage_brings_nobody_back() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease()})
    clock.now += 15
    liveness.lapse()
    liveness.interrupted()
    assert not liveness.alive(NODE)


def test_deleted_and_released_leases_are_not_held() -> None:
    liveness = Liveness(Clock())
    liveness.take({NODE: lease(), OTHER: lease()})
    assert frozenset({NODE, OTHER}) == liveness.take({NODE: None, OTHER: lease(holder="")})
    assert frozenset() == liveness.take({NODE: None})
    assert (False, False) == (liveness.alive(NODE), liveness.alive(OTHER))


def test_wait_is_for_the_first_that_may_lapse() -> None:
    clock = Clock()
    liveness = Liveness(clock)
    liveness.take({NODE: lease(ttl=15)})
    clock.now += 2
    liveness.take({OTHER: lease(ttl=10)})
    assert 10.0 == liveness.wait()
    clock.now += 11
    assert 0.0 == liveness.wait()
    assert frozenset({OTHER}) == liveness.lapse()
