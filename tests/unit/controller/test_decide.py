# SPDX-License-Identifier: Apache-2.0
"""What the controller writes for one Service, case by case."""

import datetime as dt
from typing import Any

import pytest
from msgspec.structs import replace

from buoy.controller.decide import decide
from buoy.controller.step import Finalize, Publish, Release, Step, Take, Tell
from buoy.controller.subject import FINALIZER, Claim, Condition, Entry, Granted, Refused, Subject
from buoy.model.address import Address
from buoy.model.service_ip import Mode, Owner, ServiceIP

NOW = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)
THEN = "2026-11-21T12:00:00Z"
ONE = Address("192.0.2.1")
TWO = Address("192.0.2.2")
SIX = Address("2001:db8::1")
WEB = Owner(kind="Service", namespace="shop", name="web", uid="u1")
FORMER = replace(WEB, uid="u0")
OTHER = Owner(kind="Service", namespace="shop", name="dns", uid="u2")
FULL = Refused("PoolFull", "pool public is full")
OUTSIDE = {"ip": "198.51.100.9", "ipMode": "VIP"}
NAMED = {"hostname": "lb.example.net"}


def granted(*addresses: Address, message: str = "from pool public") -> Granted:
    return Granted(tuple(claim(at).document for at in addresses), Condition(True, "Allocated", message))


def claim(at: Address, *owners: Owner, released: dt.datetime | None = None, sharing: str = "") -> Claim:
    document = ServiceIP(
        address=at, mode=Mode.PROXIED, pool="public", owners=owners or (WEB,), released=released, sharing=sharing
    )
    return Claim(document, "7")


def ours(at: Address, **more: Any) -> Entry:  # noqa: ANN401  JSON
    return Entry({"ip": str(at), "ipMode": "VIP", **more}, ours=True)


def foreign(said: dict[str, Any]) -> Entry:
    return Entry(said, ours=False)


NEW = Subject(owner=WEB, version="1", wants=True)
WELL = Condition(True, "Allocated", "from pool public", "2026-11-20T00:00:00Z")
HAS_ONE = Subject(owner=WEB, version="1", wants=True, finalizers=(FINALIZER,), ingress=(ours(ONE),), condition=WELL)
LEAVES = replace(HAS_ONE, wants=False)
MINE = claim(ONE).document
SAID = Publish(({"ip": "192.0.2.1", "ipMode": "VIP"},), Condition(True, "Allocated", "from pool public", THEN))
TOLD = Tell(False, "Allocated", "from pool public")


def test_a_new_service_gets_finalizer_claim_and_status_in_this_order() -> None:
    assert (Finalize((FINALIZER,)), Take(MINE, ""), SAID, TOLD) == decide(NEW, (), granted(ONE), NOW)


def test_a_service_that_has_what_it_should_needs_nothing() -> None:
    assert () == decide(HAS_ONE, (claim(ONE),), granted(ONE), NOW)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_service_left_after_any_step_gets_the_rest(done: int) -> None:
    after = {
        1: (replace(NEW, finalizers=(FINALIZER,)), ()),
        2: (replace(NEW, finalizers=(FINALIZER,)), (claim(ONE),)),
        3: (HAS_ONE, (claim(ONE),)),
    }
    subject, claims = after[done]
    # the Event of the last step is written with the condition, or never
    rest = (Finalize((FINALIZER,)), Take(MINE, ""), SAID, TOLD)[done:] if done < 3 else ()
    assert rest == decide(subject, claims, granted(ONE), NOW)


def test_other_finalizers_stay() -> None:
    first = decide(replace(NEW, finalizers=("example.net/other",)), (), granted(ONE), NOW)[0]
    assert Finalize(("example.net/other", FINALIZER)) == first


def test_a_refused_service_is_told_why_and_nothing_is_begun() -> None:
    told = (
        Publish(None, Condition(False, "PoolFull", "pool public is full", THEN)),
        Tell(True, "PoolFull", "pool public is full"),
    )
    assert told == decide(NEW, (), FULL, NOW)


def test_the_same_refusal_is_written_once() -> None:
    told = replace(NEW, condition=Condition(False, "PoolFull", "pool public is full", "2026-11-20T00:00:00Z"))
    assert () == decide(told, (), FULL, NOW)


def test_a_condition_keeps_the_moment_of_its_status_while_only_its_message_changes() -> None:
    told = replace(NEW, condition=Condition(False, "PoolMissing", "no pool", "2026-11-20T00:00:00Z"))
    expected = Publish(None, Condition(False, "PoolFull", "pool public is full", "2026-11-20T00:00:00Z"))
    assert expected == decide(told, (), FULL, NOW)[0]


def test_a_service_that_asks_for_what_cannot_be_had_keeps_what_it_has_and_is_told() -> None:
    said = Condition(False, "PoolFull", "192.0.2.1 from pool public; pool sales is full")
    steps = decide(HAS_ONE, (claim(ONE),), Granted((MINE,), said, warning=True), NOW)
    assert (Publish(None, said._replace(since=THEN)), Tell(True, "PoolFull", said.message)) == steps


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("public: full (4 of 4)", "public: full (4 of 4, 1 held down until 2026-11-21T12:05:00Z)"),
        (
            "was released and is held down until 2026-11-21T12:05:00Z",
            "was released and is held down until 2026-11-21T12:09:00Z",
        ),
    ],
)
def test_a_refusal_that_changes_only_in_figures_is_not_written_again(before: str, after: str) -> None:
    told = replace(NEW, condition=Condition(False, "PoolFull", before, THEN))
    assert () == decide(told, (), Refused("PoolFull", after), NOW)


def test_a_wiped_status_is_restored_without_an_event() -> None:
    steps = decide(replace(HAS_ONE, ingress=()), (claim(ONE),), granted(ONE), NOW)
    assert (Publish(SAID.ingress, WELL),) == steps


@pytest.mark.parametrize(
    "entry", [ours(ONE, ipMode="Proxy"), ours(TWO), foreign({"ip": "192.0.2.1", "ipMode": "Proxy"})]
)
def test_an_entry_of_ours_that_was_changed_is_put_right(entry: Entry) -> None:
    steps = decide(replace(HAS_ONE, ingress=(entry,)), (claim(ONE),), granted(ONE), NOW)
    assert (Publish(SAID.ingress, WELL),) == steps


def test_foreign_entries_stay_where_they_are() -> None:
    both = replace(HAS_ONE, ingress=(foreign(OUTSIDE), ours(ONE), foreign(NAMED)))
    assert () == decide(both, (claim(ONE),), granted(ONE), NOW)


def test_foreign_entries_are_written_back_as_they_were_read() -> None:
    both = replace(HAS_ONE, ingress=(foreign(OUTSIDE), foreign(NAMED)))
    ingress = ({"ip": "192.0.2.1", "ipMode": "VIP"}, OUTSIDE, NAMED)
    assert (Publish(ingress, WELL),) == decide(both, (claim(ONE),), granted(ONE), NOW)


def test_addresses_stand_in_the_order_of_the_services_families() -> None:
    steps = decide(NEW, (), granted(SIX, ONE), NOW)
    published = next(step for step in steps if isinstance(step, Publish))
    assert published.ingress is not None
    assert [str(SIX), str(ONE)] == [entry["ip"] for entry in published.ingress]


def test_an_entry_without_mode_is_one_of_mode_vip() -> None:
    entry = Entry({"ip": "192.0.2.1"}, ours=True)
    assert () == decide(replace(HAS_ONE, ingress=(entry,)), (claim(ONE),), granted(ONE), NOW)


def test_another_address_is_claimed_and_shown_before_the_old_one_is_released() -> None:
    steps = decide(HAS_ONE, (claim(ONE),), granted(TWO), NOW)
    ingress = ({"ip": "192.0.2.2", "ipMode": "VIP"},)
    expected = (
        Take(claim(TWO).document, ""),
        Publish(ingress, WELL),
        Release(replace(MINE, released=NOW), "7"),
    )
    assert expected == steps


def test_a_claim_of_an_earlier_life_is_written_over_as_it_stands() -> None:
    held = claim(ONE, FORMER, released=NOW)
    assert Take(MINE, "7") == decide(NEW, (held,), granted(ONE), NOW)[1]


def test_an_address_it_names_itself_is_claimed_and_not_shown() -> None:
    answer = Granted((), Condition(True, "Allocated", "its own"), externals=(MINE,))
    plain = replace(NEW, writable=False)
    told = (Publish(None, Condition(True, "Allocated", "its own", THEN)), Tell(False, "Allocated", "its own"))
    assert (Finalize((FINALIZER,)), Take(MINE, ""), *told) == decide(plain, (), answer, NOW)


def test_a_deleted_service_leaves_its_status_then_its_claim_then_its_finalizer() -> None:
    expected = (
        Publish((), None),
        Release(replace(MINE, released=NOW), "7"),
        Finalize(()),
        Tell(False, "AddressReleased", "192.0.2.1 released"),
    )
    assert expected == decide(LEAVES, (claim(ONE),), None, NOW)


LEAVING: dict[str, tuple[Subject, tuple[Claim, ...], tuple[type[Step], ...]]] = {
    "status cleared": (replace(LEAVES, ingress=(), condition=None), (claim(ONE),), (Release, Finalize, Tell)),
    "claim released": (
        replace(LEAVES, ingress=(), condition=None),
        (claim(ONE, released=NOW),),
        (Finalize,),
    ),
    "finalizer off": (
        replace(LEAVES, ingress=(), condition=None, finalizers=()),
        (claim(ONE, released=NOW),),
        (),
    ),
}


@pytest.mark.parametrize("done", LEAVING)
def test_a_deletion_left_after_any_step_is_finished(done: str) -> None:
    subject, claims, rest = LEAVING[done]
    assert rest == tuple(type(step) for step in decide(subject, claims, None, NOW))


def test_a_service_whose_type_changes_keeps_entries_the_api_server_took_and_loses_ours() -> None:
    changed = replace(LEAVES, writable=False, ingress=())
    expected = (Publish(None, None), Release, Finalize, Tell)
    steps = decide(changed, (claim(ONE),), None, NOW)
    assert expected == (steps[0], *map(type, steps[1:]))


def test_who_shares_an_address_leaves_it_to_the_others() -> None:
    steps = decide(LEAVES, (claim(ONE, WEB, OTHER, sharing="mail"),), None, NOW)
    assert Release(claim(ONE, OTHER, sharing="mail").document, "7") == steps[1]


def test_a_service_of_another_class_is_left_alone() -> None:
    theirs = Subject(
        owner=WEB,
        version="1",
        wants=False,
        foreign=True,
        finalizers=(FINALIZER,),
        ingress=(foreign(OUTSIDE), ours(ONE)),
    )
    assert () == decide(theirs, (), None, NOW)


def test_what_we_know_to_be_ours_is_taken_from_a_service_that_another_class_got() -> None:
    theirs = replace(LEAVES, foreign=True, ingress=(foreign(OUTSIDE), ours(ONE), ours(TWO)))
    expected = (
        Publish((OUTSIDE, {"ip": "192.0.2.2", "ipMode": "VIP"}), WELL),
        Release(replace(MINE, released=NOW), "7"),
        Finalize(()),
        Publish(None, None),
        Tell(False, "AddressReleased", "192.0.2.1 released"),
    )
    assert expected == decide(theirs, (claim(ONE),), None, NOW)
