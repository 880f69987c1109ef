# SPDX-License-Identifier: Apache-2.0
"""Every document survives the way through JSON and stands where it says; whatever else comes is refused by name."""

import datetime as dt

import pytest

from buoy.model import documents
from buoy.model.address import Address, Mac, Prefix
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.group import Member, Rule, SecurityGroup, Side
from buoy.model.network import HostRoute, Network, Subnet
from buoy.model.node import Fence, Node, PeerSession
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer
from buoy.model.pool import Pool
from buoy.model.reason import Reason
from buoy.model.service_ip import Endpoint, PortMapping, ServiceIP
from buoy.model.status import AddressStatus, State, Witness, WorkloadStatus
from buoy.model.workload import FixedIP, Workload
from buoy.model.writer import Writer

ADDRESS, PREFIX = Address("192.0.2.7"), Prefix("192.0.2.0/24")
MOMENT = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)
MAPPING = PortMapping(protocol="tcp", first=22, last=23, target_first=1022)
ALL: list[tuple[str, Document]] = [
    ("pools/public", Pool(name="public", prefixes=(PREFIX,))),
    ("networks/net", Network(id="net")),
    (
        "subnets/sub",
        Subnet(
            id="sub",
            network="net",
            prefix=PREFIX,
            gateway=ADDRESS,
            host_routes=(HostRoute(prefix=PREFIX, via=ADDRESS),),
        ),
    ),
    (
        "workloads/n1/port",
        Workload(
            id="port",
            node="n1",
            interface="tap1",
            mac=Mac("fa:16:3e:00:00:01"),
            network="net",
            fixed_ips=(FixedIP(address=ADDRESS, subnet="sub"),),
        ),
    ),
    (
        "service-ips/2001:db8::7",
        ServiceIP(
            address=Address("2001:db8::7"),
            endpoints=(Endpoint(workload="port", target=Address("2001:db8::1"), mapping=MAPPING),),
        ),
    ),
    ("groups/red", SecurityGroup(id="red", rules=(Rule(side=Side.INGRESS, family=4, prefix=PREFIX),))),
    ("members/red/192.0.2.0/24", Member(group="red", prefix=PREFIX)),
    (
        "nodes/n1",
        Node(name="n1", sessions=(PeerSession(name="p", address=ADDRESS, asn=64512, state="Established"),)),
    ),
    ("fences/n1", Fence(node="n1")),
    ("writers/neutron", Writer(name="neutron", beaten=MOMENT, interval=15.0, patience=10.0, waiting=2, oldest=1.5)),
    ("peers/tor", Peer(name="tor", address=ADDRESS, asn=64512, bfd=Bfd())),
    ("filters/out", Filter(name="out", rules=(FilterRule(action=Action.ACCEPT, prefix=PREFIX, low=24, high=32),))),
    ("settings/bgp", BGPSettings(originate=(PREFIX,))),
    ("status/n1/address/192.0.2.7", AddressStatus(node="n1", address=ADDRESS, state=State.ACTIVE)),
    ("status/n1/witness/store", Witness(node="n1", revision=7)),
    ("status/n1/workload/port", WorkloadStatus(node="n1", workload="port", state=State.DOWN)),
]


@pytest.mark.parametrize(("at", "document"), ALL, ids=[at for at, _ in ALL])
def test_a_document_survives_and_stands_where_it_says(at: str, document: Document) -> None:
    assert at == documents.path(document)
    assert type(document) is documents.kind(at)
    assert document == documents.decode(at, documents.encode(document))


@pytest.mark.parametrize("at", ["", "pools", "others/x", "status/n1/address", "status/n1/other/x"])
def test_no_document_stands_elsewhere(at: str) -> None:
    assert None is documents.kind(at)
    with pytest.raises(InvalidInput, match="no kind of document stands here"):
        documents.decode(at, b"{}")


@pytest.mark.parametrize(
    ("at", "raw", "said"),
    [
        ("fences/n1", b"{", "rewrite it as Fence"),
        ("fences/n1", b'{"node": 1}', r"Expected `str`, got `int` - at `\$.node`"),
        ("fences/n1", b'{"node": "n1", "schema": 9}', "this version reads 0 to 2"),
        ("fences/n1", b'{"node": "n2"}', "must stand under the path it names"),
        ("networks/a b", b'{"id": "a b"}', r"networks/a b\.id: 'a b' is not valid: use up to 128 letters"),
    ],
)
def test_a_broken_document_is_refused_by_name(at: str, raw: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        documents.decode(at, raw)


@pytest.mark.parametrize(
    "raw", [b'{"node": "n1"}', b'{"node": "n1", "schema": 0}', b'{"node": "n1", "schema": 2, "more": 1}']
)
def test_what_versions_side_by_side_say_is_equal(raw: bytes) -> None:
    assert Fence(node="n1") == documents.decode("fences/n1", raw)


def test_a_later_version_names_itself_and_takes_what_names_none_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert b'{"node":"n1"}' == documents.encode(Fence(node="n1"))
    monkeypatch.setattr(documents, "SCHEMA", 2)
    assert b'{"schema":2,"node":"n1"}' == documents.encode(Fence(node="n1"))
    assert Fence(node="n1") == documents.decode("fences/n1", b'{"node":"n1"}')
    monkeypatch.setattr(documents, "SCHEMA", 3)
    with pytest.raises(InvalidInput, match=r"fences/n1\.schema: 1 .*this version reads 2 to 4"):
        documents.decode("fences/n1", b'{"node":"n1"}')


def test_a_status_whose_reason_only_another_version_has_is_read_all_the_same() -> None:
    raw = b'{"node":"n1","workload":"port","state":"down","reason":"too-hot","details":{"degrees":"99"}}'
    status = documents.decode("status/n1/workload/port", raw)
    assert isinstance(status, WorkloadStatus)
    assert (State.DOWN, Reason.OF_ANOTHER_VERSION) == (status.state, status.reason)
    with pytest.raises(InvalidInput, match=r"\$\.reason"):
        documents.decode("status/n1/workload/port", b'{"node":"n1","workload":"port","state":"down","reason":7}')
