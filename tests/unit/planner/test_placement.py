# SPDX-License-Identifier: Apache-2.0
"""Why an address is served from a node, or is not: one row per answer."""

import datetime as dt

import pytest
from msgspec.structs import replace

from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.nodestate import Link
from buoy.model.pool import Pool, Registry
from buoy.model.reason import Reason, Withhold
from buoy.model.service_ip import Attachment, Mode, Owner
from buoy.model.workload import AddressPair
from tests.unit.planner.cloud import (
    DOWN,
    FIXED,
    HERE,
    OTHER_FIXED,
    SERVICE,
    SUBNET,
    THERE,
    UP,
    endpoint,
    fixed,
    floating,
    mapped,
    node,
    port,
)

TAP = {"workload": "port1", "node": HERE, "interface": "tap1"}
OWNER = Owner(kind="StatefulSet", namespace="shop", name="db")
VMS, OF_VMS = Pool(name="vms", registry=Registry.NEUTRON), {"address": SERVICE, "pool": "vms"}
ENDPOINT = {"address": SERVICE, "node": HERE, "workload": "port1", "target": FIXED}

ANSWERS: list[tuple[str, tuple[Document, ...], tuple[Link, ...], Withhold | None]] = [
    ("served", (port(), floating()), (UP,), None),
    ("no endpoint", (port(), floating(endpoints=())), (UP,), Withhold(Reason.UNBOUND, {"address": SERVICE})),
    (
        "given to somebody of whom nothing runs",
        (floating(endpoints=(), owners=(OWNER,)),),
        (UP,),
        Withhold(Reason.OWNER_AWAY, {"address": SERVICE, "owner": "StatefulSet shop/db", "namespace": "shop"}),
    ),
    (
        "released",
        (floating(endpoints=(), owners=(OWNER,), released=dt.datetime(2026, 11, 21, tzinfo=dt.UTC)),),
        (UP,),
        Withhold(Reason.RELEASED, {"address": SERVICE, "owner": "StatefulSet shop/db"}),
    ),
    (
        "attached to the host: no document of it, and no tap",
        (floating(endpoints=(endpoint(workload="shop/db-0", attached=Attachment.HOST),)),),
        (),
        None,
    ),
    (
        "attached to the host, at an address that a port here has",
        (port(), floating(endpoints=(endpoint(workload="shop/db-0", attached=Attachment.HOST),))),
        (UP,),
        Withhold(
            Reason.CLAIMED_TWICE,
            {
                "node": HERE,
                "workload": "shop/db-0",
                "target": FIXED,
                "address": FIXED,
                "other": f"workloads/{HERE}/port1",
            },
        ),
    ),
    (
        "port on no node",
        (floating(endpoints=(endpoint(node=""),)),),
        (UP,),
        Withhold(Reason.PORT_UNBOUND, {"address": SERVICE, "workload": "port1", "driver": ""}),
    ),
    (
        "bound by another driver",
        (floating(endpoints=(endpoint(node="", driver="openvswitch"),)),),
        (UP,),
        Withhold(Reason.OTHER_DRIVER, {"address": SERVICE, "workload": "port1", "driver": "openvswitch"}),
    ),
    (
        "on another node",
        (port(), floating(endpoints=(endpoint(node=THERE),))),
        (UP,),
        Withhold(Reason.OTHER_NODE, {"address": SERVICE, "node": THERE, "workload": "port1"}),
    ),
    (
        "routed to a guest of another node",
        (port(), floating(mode=Mode.ROUTED, endpoints=(endpoint(node=THERE),))),
        (UP,),
        Withhold(Reason.MODE_NOT_SERVED, {"address": SERVICE, "mode": "routed"}),
    ),
    (
        "kept for a Service that is gone",
        (port(), floating(mode=Mode.PROXIED)),
        (UP,),
        Withhold(Reason.NO_SERVICE, {"address": SERVICE}),
    ),
    (
        "a pool of Neutron's, which keeps nothing for it",
        (port(), floating(id="", pool="vms"), VMS),
        (UP,),
        Withhold(Reason.NOT_REGISTERED, OF_VMS),
    ),
    ("a pool of Neutron's, which keeps it", (port(), floating(id="8f1c", pool="vms"), VMS), (UP,), None),
    (
        "lost by the store, with its Service",
        (port(), floating(mode=Mode.PROXIED, lost=True, owners=(OWNER,))),
        (UP,),
        Withhold(Reason.CLAIM_LOST, {"address": SERVICE, "owner": "StatefulSet shop/db"}),
    ),
    (
        "lost by the store, and it leads nowhere",
        (port(), floating(endpoints=(), lost=True)),
        (UP,),
        Withhold(Reason.CLAIM_LOST, {"address": SERVICE, "owner": "nobody known"}),
    ),
    ("no document of the port", (floating(),), (UP,), Withhold(Reason.WORKLOAD_MISSING, ENDPOINT)),
    (
        "fixed IP left",
        (port(fixed_ips=(fixed(OTHER_FIXED),)), floating()),
        (UP,),
        Withhold(Reason.FIXED_IP_LEFT, ENDPOINT),
    ),
    ("no tap", (port(), floating()), (), Withhold(Reason.TAP_MISSING, {"address": SERVICE, **TAP})),
    ("tap down", (port(), floating()), (DOWN,), Withhold(Reason.TAP_DOWN, {"address": SERVICE, **TAP})),
    ("admin down", (port(admin_up=False), floating()), (UP,), Withhold(Reason.ADMIN_DOWN, {"address": SERVICE, **TAP})),
    (
        "the service IP is a fixed IP as well, given later",
        (port(id="port2", interface="tap2", fixed_ips=(fixed(SERVICE),)), port(), floating()),
        (UP, Link("tap2", 8, up=True)),
        Withhold(Reason.CLAIMED_TWICE, {"address": SERVICE, "node": HERE, "other": f"workloads/{HERE}/port2"}),
    ),
    (
        "the fixed IP is another port's as well, given later",
        (port(id="port2", interface="tap2"), port(), floating()),
        (UP, Link("tap2", 8, up=True)),
        Withhold(
            Reason.CLAIMED_TWICE,
            {"node": HERE, "workload": "port1", "target": FIXED, "address": FIXED, "other": f"workloads/{HERE}/port2"},
        ),
    ),
    (
        "one of several mapped endpoints is enough",
        (port(), floating(endpoints=(mapped(22), mapped(80, workload="port9")))),
        (UP,),
        None,
    ),
    (
        "the anchor is the node of the lowest mapping",
        (port(), floating(endpoints=(mapped(22, node=THERE), mapped(80)))),
        (UP,),
        Withhold(Reason.OTHER_NODE, {"address": SERVICE, "node": THERE, "workload": "port1"}),
    ),
]


@pytest.mark.parametrize(
    ("documents", "links", "answer"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_a_service_ip_is_served_or_withheld(
    documents: tuple[Document, ...], links: tuple[Link, ...], answer: Withhold | None
) -> None:
    later = {f"workloads/{HERE}/port2": 2}
    assert answer == node(*documents, links=links, revisions=later).verdicts[SERVICE]


def test_whoever_was_written_later_has_the_address() -> None:
    two = (port(), port(id="port2", interface="tap2"))
    first_wins = node(*two, links=(UP, Link("tap2", 8, up=True)), revisions={f"workloads/{HERE}/port1": 5})
    refused = Withhold(
        Reason.CLAIMED_TWICE,
        {"workload": "port2", "node": HERE, "interface": "tap2", "address": FIXED, "other": f"workloads/{HERE}/port1"},
    )
    assert None is first_wins.wanted_workload("port1").withheld
    assert refused == first_wins.wanted_workload("port2").withheld


def test_of_what_is_attached_to_the_host_only_what_it_has_a_route_to_is_served() -> None:
    one, another = (endpoint(workload=f"shop/{name}", attached=Attachment.HOST) for name in ("db-0", "db-1"))
    another = replace(another, target=OTHER_FIXED)
    withheld = Withhold(Reason.NO_ROUTE, {**ENDPOINT, "workload": "shop/db-0"})
    assert {SERVICE: withheld} == dict(node(floating(endpoints=(one,)), unrouted={FIXED}).verdicts)
    assert f"{HERE} has no route to shop/db-0 at {FIXED} that leads there" == str(withheld)
    assert {SERVICE: None} == dict(node(floating(endpoints=(one, another)), unrouted={FIXED}).verdicts)


def test_whether_there_is_a_route_to_what_is_attached_elsewhere_is_not_asked_here() -> None:
    away = endpoint(workload="shop/db-0", attached=Attachment.HOST, node=THERE)
    assert Reason.OTHER_NODE is node(floating(endpoints=(away,)), unrouted={FIXED}).withheld[SERVICE].reason


def test_two_ports_cannot_be_behind_one_interface() -> None:
    desired = node(port(), port(id="port2", fixed_ips=(fixed(OTHER_FIXED),)), revisions={f"workloads/{HERE}/port2": 2})
    withheld = desired.withheld[FIXED]
    assert (Reason.CLAIMED_TWICE, "tap1") == (withheld.reason, withheld.details["address"])
    assert desired.verdicts[OTHER_FIXED] is None


def test_a_routed_service_ip_is_the_fixed_ips_affair() -> None:
    routed = floating(address=FIXED, mode=Mode.ROUTED)
    assert {FIXED: None} == dict(node(port(), routed).verdicts)
    assert Reason.MODE_NOT_SERVED is node(floating(mode=Mode.ROUTED, endpoints=())).withheld[SERVICE].reason


def test_an_allowed_pair_outside_the_subnets_is_not_routed() -> None:
    pair = AddressPair(prefix=Prefix("203.0.113.9/32"), mac=Mac("fa:16:3e:00:00:09"))
    withheld = node(port(pairs=(pair,)), SUBNET).withheld[Address("203.0.113.9")]
    assert Reason.PAIR_OUTSIDE is withheld.reason
    assert "203.0.113.9 is an allowed address pair of port port1, but in none of its subnets" == str(withheld)
