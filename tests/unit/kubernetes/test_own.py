# SPDX-License-Identifier: Apache-2.0
"""Buoy's documents as objects of the API server, and back."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.kubernetes import own
from buoy.kubernetes.escaping import escape, unescape
from buoy.kubernetes.resources import KINDS, PODS, kind_at, object_name
from buoy.kubernetes.structs import STRUCTS, needed
from buoy.kubernetes.translate import Translation
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.node import Fence, Node, PeerSession
from buoy.model.peer import Action, Bfd, BGPSettings, Filter, FilterRule, Peer
from buoy.model.pool import Expression, Operator, Pool, Range, Selector
from buoy.model.proxied import Advertised, Kind
from buoy.model.reason import Reason
from buoy.model.service_ip import Endpoint, Mode, Owner, PortMapping, ServiceIP
from buoy.model.status import AddressStatus, State, Witness
from buoy.store.api_names import ObjectName
from tests.unit.kubernetes.making import stored

SIX = Address("2001:db8::7")
EVERY: tuple[Document, ...] = (
    Pool(
        name="public",
        prefixes=(Prefix("192.0.2.0/24"),),
        ranges=(Range(first=Address("198.51.100.1"), last=Address("198.51.100.9")),),
        namespace_selectors=(
            Selector(labels={"a_b": "c"}, expressions=(Expression(key="k", operator=Operator.NOT_IN, values=("v",)),)),
        ),
        hold_down=3.5,
        quota=0,
    ),
    ServiceIP(
        address=SIX,
        mode=Mode.PROXIED,
        owners=(Owner(kind="Service", namespace="shop", name="web", ports=("tcp/80",)),),
        released=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    ),
    ServiceIP(
        address=Address("192.0.2.7"),
        endpoints=(
            Endpoint(
                workload="w",
                target=Address("10.244.0.5"),
                mapping=PortMapping(protocol="tcp", first=80, last=81, target_first=8080),
            ),
        ),
    ),
    Peer(name="tor", address=Address("192.0.2.254"), asn=4294967295, bfd=Bfd(interval=50), local_asn=None),
    Filter(name="guard", rules=(FilterRule(action=Action.REJECT, prefix=Prefix("10.0.0.0/8"), low=8),)),
    BGPSettings(asn=65001, advertise=(Advertised(prefix=Prefix("192.0.2.0/24"), kinds=(Kind.EXTERNAL,)),)),
    Node(name="node-1", sessions=(PeerSession(name="p", address=SIX, asn=1, state="Established"),), problems=("x",)),
    Fence(node="node-1", reason="off"),
    AddressStatus(
        node="node-1.example.com", address=SIX, state=State.DOWN, reason=Reason.UNBOUND, details={"some_key": "v"}
    ),
    AddressStatus(node="10.0.0.9", address=Address("192.0.2.7"), state=State.ACTIVE, announced=True),
    Witness(node="node-1", revision=7),
)


@pytest.mark.parametrize("document", EVERY, ids=documents.path)
def test_what_comes_back_is_what_was_written(document: Document) -> None:
    kind = kind_at(documents.path(document))
    raw = msgspec.json.encode(own.encode(documents.path(document), document))
    found = msgspec.json.decode(raw, type=own.STRUCTS[kind.resource])
    assert document == own.decode(kind, found)


@pytest.mark.parametrize("document", EVERY, ids=documents.path)
def test_an_objects_name_and_a_documents_path_say_the_same(document: Document) -> None:
    path = documents.path(document)
    assert path == kind_at(path).path(object_name(path).name)


def test_every_kind_is_among_these() -> None:
    assert {kind.struct for kind in KINDS} == {type(document) for document in EVERY}


def test_fields_are_in_camel_case_and_labels_are_left_alone() -> None:
    spec = own.encode("pools/public", EVERY[0])["spec"]
    assert {"prefixes", "ranges", "namespaceSelectors", "holdDown", "quota"} == set(spec)
    assert {"a_b": "c"} == spec["namespaceSelectors"][0]["matchLabels"]


def test_an_object_is_named_after_what_it_is() -> None:
    names = [object_name(documents.path(document)).name for document in EVERY]
    expected = [
        "public", "2001-db8--7", "192.0.2.7", "tor", "guard", "default", "node-1", "node-1",
        "2001-db8--7.node-1.example.com", "192.0.2.7.10.0.0.9", "node-1",
    ]  # fmt: skip
    assert expected == names


@given(st.ip_addresses())
def test_an_address_has_one_name_that_is_a_subdomain(given_address: Any) -> None:  # noqa: ANN401
    address = Address(str(given_address))
    name = escape(address)
    assert (address, "") == unescape(name)
    assert (address, "node-1") == unescape(f"{name}.node-1")
    assert all(part and part[0] != "-" and part[-1] != "-" for part in name.split("."))


@pytest.mark.parametrize("name", ["2001-db8-0--7", "2001-0db8--7", "192.0.2", "web", "192.0.2.300", "-", "2001-db8-"])
def test_no_other_name_is_an_address(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        unescape(name)
    assert "metadata.name" == refused.value.field


@pytest.mark.parametrize(
    "path", ["workloads/node-1/w", "eligibility/node-1", "groups/g", "nonsense", "status/n/workload/w"]
)
def test_what_does_not_stand_in_kubernetes_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        kind_at(path)


def test_an_object_of_another_name_than_its_address_is_broken_and_nothing_else_is() -> None:
    translation = Translation()
    kind = kind_at("service-ips/192.0.2.7")
    found = stored(ServiceIP(address=Address("192.0.2.8"), mode=Mode.PROXIED))
    wrong = msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, name="192.0.2.7"))
    translation.take(kind.resource, {ObjectName("", "192.0.2.7"): wrong, ObjectName("", "192.0.2.8"): found})
    assert ["service-ips/192.0.2.8"] == list(translation.documents)
    assert ["service-ips/192.0.2.7"] == list(translation.broken)


def test_an_object_that_becomes_wrong_stays_as_it_was_until_it_is_right_or_gone() -> None:
    translation = Translation()
    kind, name = kind_at("pools/public"), ObjectName("", "public")
    translation.take(kind.resource, {name: stored(EVERY[0])})
    wrong = msgspec.structs.replace(EVERY[0], prefixes=(Prefix("192.0.2.1/24"),))
    translation.take(kind.resource, {name: stored(wrong)})
    assert EVERY[0] == translation.documents["pools/public"]
    assert ["pools/public"] == list(translation.broken)
    translation.take(kind.resource, {}, {name: "it is no object at all"})
    assert {"pools/public": "it is no object at all"} == translation.broken
    translation.take(kind.resource, {name: None})
    assert ({}, {}) == (translation.documents, translation.broken)


def test_an_object_that_names_nothing_is_told_by_its_own_name() -> None:
    translation = Translation()
    settings = kind_at("settings/bgp")
    found = stored(BGPSettings())
    other = msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, name="other"))
    translation.take(settings.resource, {ObjectName("", "other"): other})
    assert ["bgpsettings.buoy.dev/other"] == list(translation.broken)
    translation.take(settings.resource, {ObjectName("", "other"): None})
    assert {} == translation.broken


def test_a_node_is_there_while_its_agent_lives() -> None:
    translation = Translation()
    path = "nodes/node-1"
    document = Node(name="node-1")
    translation.take(kind_at(path).resource, {ObjectName("", "node-1"): stored(document)})
    assert {} == translation.documents
    assert {path: document} == translation.take_lives({"node-1": True})
    assert {path: None} == translation.take_lives({"node-1": False})
    assert {} == translation.take_lives({"node-2": True})


def test_only_what_is_asked_for_is_kept() -> None:
    translation = Translation(covers=lambda path: path.startswith("peers/"))
    for document in EVERY:
        path = documents.path(document)
        translation.take(kind_at(path).resource, {object_name(path): stored(document)})
    assert ["peers/tor"] == list(translation.documents) == list(translation.revisions)


def test_whoever_asks_for_service_ips_hears_of_all_that_has_a_say() -> None:
    expected = {"serviceips.buoy.dev", "services", "endpointslices.discovery.k8s.io", "nodes"}
    assert expected == {str(resource) for resource in needed(("service-ips/",))}


def test_whoever_asks_for_everything_hears_of_every_resource() -> None:
    # pods are followed by their node's own agent, and by the controller
    assert tuple(resource for resource in STRUCTS if resource != PODS) == needed(("",))


def test_whoever_asks_for_one_path_hears_of_its_kind() -> None:
    assert ["addressstatuses.buoy.dev", "witnesses.buoy.dev"] == [str(each) for each in needed(("status/node-1/",))]


def test_nothing_has_a_say_in_what_does_not_stand_in_kubernetes() -> None:
    assert () == needed(("workloads/node-1/", "groups/"))
