# SPDX-License-Identifier: Apache-2.0
"""What is said of an address and a workload: one row per observation."""

import pytest

from buoy.model.address import Address
from buoy.model.documents import Document
from buoy.model.nodestate import Announcement, Change, Dnat, Failure, Flush, Link, Phase, PortGuard, Route, Step, Table
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Owner
from buoy.model.status import AddressStatus, State, WorkloadStatus
from buoy.planner.status import Seen, act_name, address_status, lacking, workload_status
from buoy.planner.verify import Mismatch
from tests.unit.planner.cloud import DOWN, FIXED, HERE, SERVICE, THERE, UP, endpoint, floating, key, node, port

DNAT, TOLD = key(Table.DNAT, SERVICE), key(Table.ANNOUNCEMENT, "198.51.100.1/32")
UNBUILT = Mismatch(DNAT, Dnat(FIXED), None)
UNTOLD = Mismatch(TOLD, Announcement("tap1"), None)
STILL_TOLD = Mismatch(TOLD, None, Announcement("tap1"))
REFUSED = Failure(Step(Phase.BUILD, Change(DNAT, None, Dnat(FIXED))), "No space left")
NO_PEER = Withhold(Reason.NO_ESTABLISHED_PEER, {"node": HERE})


def status(state: State, reason: Reason | None = None, **changes: object) -> tuple[object, ...]:
    return state, reason, changes.get("programmed", False), changes.get("announced", False)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen(), status(State.ACTIVE, programmed=True, announced=True)),
        (Seen(wrong=[UNBUILT]), status(State.ERROR, Reason.NOT_VERIFIED, announced=True)),
        (Seen(wrong=[UNBUILT], failures=[REFUSED]), status(State.ERROR, Reason.REFUSED_BY_KERNEL, announced=True)),
        (Seen(wrong=[UNTOLD]), status(State.ERROR, Reason.NOT_VERIFIED, programmed=True)),
        (Seen(untold=NO_PEER), status(State.ERROR, Reason.NO_ESTABLISHED_PEER, programmed=True)),
        (
            Seen(failures=[Failure(Step(Phase.FLUSH_NEW, Flush((SERVICE,))), "no")]),
            status(State.ACTIVE, programmed=True, announced=True),
        ),
        (
            Seen(wrong=[Mismatch(key(Table.GUARD, "tap9"), PortGuard(None, ()), None)]),
            status(State.ACTIVE, programmed=True, announced=True),
        ),
        (
            Seen(wrong=[Mismatch(key(Table.GUARD, "tap1"), PortGuard(None, ()), None)]),
            status(State.ERROR, Reason.NOT_VERIFIED, announced=True),
        ),
    ],
)
def test_an_address_that_is_placed_here(seen: Seen, said: tuple[object, ...]) -> None:
    found = address_status(node(port(), floating()).wanted(SERVICE), seen)
    assert found is not None
    assert said == (found.state, found.reason, found.programmed, found.announced)


def test_a_reason_names_what_is_missing_and_what_the_kernel_said() -> None:
    wanted = node(port(), floating()).wanted(SERVICE)
    missing = address_status(wanted, Seen(wrong=[UNBUILT, UNTOLD]))
    assert missing is not None
    assert {"node": HERE, "address": SERVICE, "missing": "dnat 198.51.100.1"} == missing.details
    refused = address_status(wanted, Seen(failures=[REFUSED]))
    assert refused is not None
    assert "No space left" == refused.details["error"]


def test_somebody_elses_route_is_the_reason_and_named_so_that_it_can_be_removed() -> None:
    at, other = key(Table.ROUTE, "192.0.2.1/32"), "192.0.2.1/32 dev eth9 metric 5 proto 3"
    hidden = Mismatch(at, Route("tap1"), Route("tap1", other))
    refused = Failure(Step(Phase.BUILD, Change(at, hidden.seen, hidden.wanted)), "somebody's route comes before ours")
    found = address_status(node(port(), floating()).wanted(SERVICE), Seen(wrong=[hidden], failures=[refused]))
    assert found is not None
    assert (State.ERROR, Reason.FOREIGN_ROUTE, False) == (found.state, found.reason, found.programmed)
    assert f"ip route del {other}" in Withhold(Reason.FOREIGN_ROUTE, found.details).remedy


@pytest.mark.parametrize(("prefix", "version"), [("192.0.2.1/32", 4), ("2001:db8::1/128", 6)])
def test_somebody_elses_rule_is_the_reason_and_named_so_that_it_can_be_removed(prefix: str, version: int) -> None:
    at, rule = key(Table.ROUTE, prefix), "prio 5270 lookup 52"
    mismatch = Mismatch(at, Route("tap1"), Route("tap1", bypassed_by=rule))
    found = lacking(node(port()).wanted(FIXED), Seen(wrong=[mismatch]), frozenset({at}))
    assert found is not None
    assert (Reason.FOREIGN_RULE, True) == (found.reason, f"ip -{version} rule del {rule}" in found.remedy)


def test_a_route_by_another_interface_is_not_verified() -> None:
    at = key(Table.ROUTE, "192.0.2.1/32")
    found = lacking(
        node(port()).wanted(FIXED), Seen(wrong=[Mismatch(at, Route("tap1"), Route("tap2"))]), frozenset({at})
    )
    assert found is not None
    assert Reason.NOT_VERIFIED is found.reason


@pytest.mark.parametrize(
    ("documents", "links", "said"),
    [
        ((port(), floating()), (), (State.DOWN, Reason.TAP_MISSING)),
        ((port(), floating()), (DOWN,), (State.DOWN, Reason.TAP_DOWN)),
        ((port(admin_up=False), floating()), (UP,), (State.DOWN, Reason.ADMIN_DOWN)),
        ((port(fixed_ips=()), floating()), (UP,), (State.ERROR, Reason.FIXED_IP_LEFT)),
        ((floating(),), (UP,), (State.ERROR, Reason.WORKLOAD_MISSING)),
        ((floating(endpoints=()),), (UP,), None),
        ((floating(endpoints=(endpoint(node=THERE),)),), (UP,), None),
        ((floating(endpoints=(endpoint(node="", driver="openvswitch"),)),), (UP,), None),
        ((floating(endpoints=(), owners=(Owner(kind="Pod", namespace="shop", name="db-0"),)),), (UP,), None),
        ((), (UP,), None),
    ],
)
def test_an_address_that_is_withheld_here(
    documents: tuple[Document, ...], links: tuple[Link, ...], said: tuple[State, Reason] | None
) -> None:
    found = address_status(node(*documents, links=links).wanted(SERVICE), Seen())
    assert said == (None if found is None else (found.state, found.reason))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(wrong=[STILL_TOLD]), Reason.NOT_VERIFIED),
        (Seen(wrong=[STILL_TOLD], held="another store"), Reason.HELD_BY_GUARD),
    ],
)
def test_an_address_that_is_still_announced_though_nobody_wants_it(seen: Seen, reason: Reason) -> None:
    found = address_status(node().wanted(SERVICE), seen)
    assert found is not None
    assert (State.ERROR, reason, True) == (found.state, found.reason, found.announced)


def test_a_failed_withdrawal_is_an_error_too() -> None:
    step = Step(Phase.WITHDRAW, Change(TOLD, Announcement("tap1"), None))
    found = address_status(node().wanted(SERVICE), Seen(wrong=[STILL_TOLD], failures=[Failure(step, "busy")]))
    assert found is not None
    assert (Reason.REFUSED_BY_KERNEL, True) == (found.reason, found.announced)


def test_a_fixed_ip_is_an_address_too() -> None:
    wanted = node(port(), revisions={f"workloads/{HERE}/port1": 7}).wanted(FIXED)
    expected = AddressStatus(node=HERE, address=FIXED, state=State.ACTIVE, programmed=True, announced=True, revision=7)
    assert expected == address_status(wanted, Seen())


def test_a_fixed_ip_that_lost_its_address_wants_nothing_of_the_winners() -> None:
    assert frozenset() == node(port(), links=()).wanted(FIXED).keys
    assert frozenset() == node().wanted(Address("192.0.2.99")).keys


@pytest.mark.parametrize(
    ("links", "seen", "said"),
    [
        ((UP,), Seen(), (State.ACTIVE, None)),
        ((), Seen(), (State.DOWN, Reason.TAP_MISSING)),
        ((UP,), Seen(wrong=[Mismatch(key(Table.GUARD, "tap1"), None, None)]), (State.ERROR, Reason.NOT_VERIFIED)),
        ((UP,), Seen(wrong=[Mismatch(key(Table.COMBINATION, "none"), None, None)]), (State.ERROR, Reason.NOT_VERIFIED)),
        ((UP,), Seen(wrong=[Mismatch(key(Table.ANNOUNCEMENT, "192.0.2.1/32"), None, None)]), (State.ACTIVE, None)),
    ],
)
def test_a_workload(links: tuple[Link, ...], seen: Seen, said: tuple[State, Reason | None]) -> None:
    found = workload_status(node(port(revision=3), links=links).wanted_workload("port1"), seen)
    assert found is not None
    assert (*said, 3) == (found.state, found.reason, found.revision)


def test_nothing_is_said_of_a_workload_that_is_not_here() -> None:
    assert None is workload_status(node(port(node=THERE)).wanted_workload("port1"), Seen())


def test_a_healthy_workload_in_full() -> None:
    status = workload_status(node(port()).wanted_workload("port1"), Seen())
    assert WorkloadStatus(node=HERE, workload="port1", state=State.ACTIVE) == status


def test_an_act_has_a_name_for_people() -> None:
    acts: list[Change | Flush] = [
        Change(DNAT, None, Dnat(FIXED)),
        Change(DNAT, Dnat(FIXED), Dnat(SERVICE)),
        Change(TOLD, Announcement("tap1"), None),
        Flush((SERVICE, FIXED)),
        Flush((SERVICE,), unanswered=(FIXED,)),
    ]
    assert [
        "add dnat 198.51.100.1",
        "change dnat 198.51.100.1",
        "remove announcement 198.51.100.1/32",
        "end flows of 198.51.100.1, 192.0.2.1",
        "end flows of 198.51.100.1, 192.0.2.1",
    ] == [act_name(act) for act in acts]
