# SPDX-License-Identifier: Apache-2.0
"""After any sequence of changes the documents are those of the objects that are there, and each change is told."""

import datetime as dt
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.kubernetes.objects import Service
from buoy.kubernetes.resources import (
    ADDRESS_POOLS,
    BGP_CONFIGURATIONS,
    BGP_FILTERS,
    BGP_PEERS,
    KINDS,
    NODES,
    SERVICES,
    SLICES,
)
from buoy.kubernetes.translate import Translation
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.node import Node as NodeDocument
from buoy.model.peer import BGPSettings, Peer
from buoy.model.pool import Pool
from buoy.model.service_ip import Mode, Owner, ServiceIP
from buoy.store.api_names import ObjectName, Resource
from tests.unit.kubernetes import making, specification

OWN = {kind.struct: kind.resource for kind in KINDS}
NODE_NAMES = ("a", "b", "c")
SERVICE_NAMES = (ObjectName("n", "x"), ObjectName("n", "x"), ObjectName("n", "y"), ObjectName("m", "x"))
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")
CLUSTER_IPS: tuple[list[str], ...] = (
    ["10.96.0.1"],
    ["10.96.0.2"],
    ["10.96.0.1", "2001:db8:96::1"],
    ["None"],
)

PORTS: tuple[dict[str, Any], ...] = (
    {"port": 80},
    {"port": 53, "protocol": "UDP", "name": "dns"},
    {"port": 53, "name": "dns"},
    {"port": 8080, "name": "web"},
)

Change = tuple[Resource, ObjectName, Any]
Objects = dict[tuple[Resource, ObjectName], Any]

LEAVING = {"ready": True, "terminating": True}
conditions = st.sampled_from((None, making.READY, making.DRAINING, LEAVING)) | st.fixed_dictionaries(
    {}, optional={name: st.booleans() for name in ("ready", "serving", "terminating")}
)
endpoint = st.builds(making.endpoint, st.sampled_from(("a", "a", "a", *NODE_NAMES, "gone", None)), conditions)


@st.composite
def services(draw: st.DrawFn) -> Change:
    name = draw(st.sampled_from(SERVICE_NAMES))
    entries = st.fixed_dictionaries(
        {"ip": st.sampled_from(ADDRESSES)}, optional={"ipMode": st.sampled_from(("VIP", "Proxy"))}
    )
    policy = st.sampled_from(("", "Cluster", "Local"))
    made = making.service(
        name,
        draw(st.lists(entries, max_size=2)),
        draw(st.none() | st.just({"projectcalico.org/AdvertiseClusterIP": draw(st.sampled_from(("true", "True")))})),
        type=draw(st.sampled_from(("LoadBalancer", "LoadBalancer", "ClusterIP", "NodePort", "ExternalName"))),
        clusterIPs=draw(st.sampled_from(CLUSTER_IPS)),
        externalIPs=draw(st.lists(st.sampled_from(ADDRESSES), max_size=2)),
        externalTrafficPolicy=draw(policy),
        internalTrafficPolicy=draw(policy),
        loadBalancerClass=draw(st.sampled_from((None, "buoy.dev/buoy", "example.com/other"))),
        publishNotReadyAddresses=draw(st.booleans()),
        ports=draw(st.lists(st.sampled_from(PORTS), max_size=3)),
    )
    return SERVICES, name, draw(st.sampled_from((made, made, None)))


@st.composite
def slices(draw: st.DrawFn) -> Change:
    name = ObjectName(draw(st.sampled_from(("n", "n", "m"))), draw(st.sampled_from(("s1", "s2"))))
    made = making.endpoints(
        *draw(st.lists(endpoint, max_size=3)),
        of=draw(st.sampled_from(("x", "x", "x", "y", ""))),
        name=name.name,
        namespace=name.namespace,
        family=draw(st.sampled_from(("IPv4", "IPv4", "IPv6", "FQDN"))),
        ports=[{"name": name} for name in draw(st.lists(st.sampled_from((None, "", "dns", "web")), max_size=2))],
    )
    return SLICES, name, draw(st.sampled_from((made, made, None)))


@st.composite
def nodes(draw: st.DrawFn) -> Change:
    name = draw(st.sampled_from(NODE_NAMES))
    label = draw(st.none() | st.sampled_from(("node.kubernetes.io/exclude-from-external-load-balancers", "role")))
    made = making.node(
        name,
        {label: draw(st.sampled_from(("true", "false", "")))} if label else None,
        status={"addresses": [{"type": "InternalIP", "address": draw(st.sampled_from(("192.0.2.51", "192.0.2.52")))}]},
    )
    return NODES, ObjectName("", name), draw(st.sampled_from((made, made, None)))


OTHERS: tuple[tuple[Resource, ObjectName, Any], ...] = (
    (BGP_CONFIGURATIONS, ObjectName("", "default"), making.configuration(asNumber=65001)),
    (
        BGP_CONFIGURATIONS,
        ObjectName("", "default"),
        making.configuration(serviceLoadBalancerIPs=[{"cidr": "192.0.2.0/24"}, {"cidr": "192.0.2/24"}]),
    ),
    (BGP_PEERS, ObjectName("", "tor"), making.peer(peerIP="192.0.2.254", asNumber=65000, filters=["guard"])),
    (BGP_PEERS, ObjectName("", "tor"), making.peer(peerIP="192.0.2.254", asNumber=1, nodeSelector="role == 'true'")),
    (BGP_PEERS, ObjectName("", "rr"), making.peer(peerSelector="has(role)", asNumber=1, filters=["guard", "more"])),
    (BGP_PEERS, ObjectName("", "rr"), making.peer("rr", peerSelector="has(role)", nodeSelector="!has(role)")),
    (BGP_PEERS, ObjectName("", "node"), making.peer("node", peerIP="192.0.2.51", asNumber=64512)),
    (BGP_PEERS, ObjectName("", "wrong"), making.peer(peerIP="192.0.2", asNumber=1)),
    (BGP_FILTERS, ObjectName("", "guard"), making.bgp_filter(exportV4=[{"action": "Reject", "cidr": "10.0.0.0/8"}])),
    (BGP_FILTERS, ObjectName("", "more"), making.bgp_filter("more", importV6=[{"action": "Accept"}])),
    (ADDRESS_POOLS, ObjectName("metallb-system", "public"), making.address_pool(addresses=["192.0.2.0/28"])),
    (ADDRESS_POOLS, ObjectName("metallb-system", "public"), making.address_pool(addresses=["192.0.2.0-x"])),
    (OWN[Pool], ObjectName("", "public"), making.stored(Pool(name="public", prefixes=(Prefix("198.51.100.0/24"),)), 3)),
    (OWN[BGPSettings], ObjectName("", "default"), making.stored(BGPSettings(asn=64999, mesh=False), 4)),
    (OWN[Peer], ObjectName("", "tor"), making.stored(Peer(name="tor", address=Address("192.0.2.9"), asn=3), 5)),
    (
        OWN[Peer],
        ObjectName("", "z"),
        making.stored(Peer(name="z", address=Address("192.0.2.254"), asn=3, nodes=("a",))),
    ),
    (OWN[BGPSettings], ObjectName("", "default"), making.stored(BGPSettings(asn=64999, reflectors=("a",)), 8)),
    (OWN[NodeDocument], ObjectName("", "a"), making.stored(NodeDocument(name="a"), 6)),
    *(
        (OWN[ServiceIP], ObjectName("", "192.0.2.1"), making.stored(claim, 7))
        for claim in (
            ServiceIP(address=Address("192.0.2.1"), mode=Mode.PROXIED, pool="public"),
            ServiceIP(address=Address("192.0.2.1"), owners=(Owner(kind="Pod", namespace="n", name="p"),)),
            ServiceIP(
                address=Address("192.0.2.1"),
                mode=Mode.PROXIED,
                owners=(Owner(kind="Service", namespace="n", name="x"), Owner(kind="Service", namespace="n", name="q")),
            ),
            ServiceIP(
                address=Address("192.0.2.1"),
                mode=Mode.PROXIED,
                owners=(Owner(kind="Service", namespace="n", name="x"),),
                released=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
            ),
        )
    ),
)

others = st.sampled_from(OTHERS).flatmap(lambda change: st.sampled_from((change, change, (change[0], change[1], None))))
BEGINNING: list[Change] = [
    *((NODES, ObjectName("", name), making.node(name)) for name in ("a", "b")),
    (
        SERVICES,
        ObjectName("n", "x"),
        making.service(ObjectName("n", "x"), [{"ip": "192.0.2.1"}], clusterIPs=["10.96.0.1"]),
    ),
    (SLICES, ObjectName("n", "s1"), making.endpoints(making.endpoint("a"), of="x", name="s1", namespace="n")),
]
claims = st.sampled_from(OTHERS[-4:])
about_services = st.lists(services() | slices() | slices() | nodes() | claims, min_size=3, max_size=20).map(
    lambda found: BEGINNING + found
)
about_all = st.lists(services() | slices() | nodes() | others | others, max_size=30)
about_others = st.lists(nodes() | others | others | others, max_size=20)
changes = about_services | about_others | about_all


@given(changes, st.randoms(use_true_random=False))
@settings(max_examples=250)
def test_incremental_equals_from_scratch_and_what_differs_is_told(history: list[Change], random: Random) -> None:
    incremental = Translation()
    told: dict[str, Document | None] = {}
    objects: Objects = {}
    for resource, name, found in history:
        for path, document in incremental.take(resource, {name: found}).items():
            assert told.get(path) != document, "what is told differs from what was told"
            told[path] = document
        objects[resource, name] = found
    assert {path: document for path, document in told.items() if document is not None} == incremental.documents

    scratch = Translation()
    present = [(key, found) for key, found in objects.items() if found is not None]
    random.shuffle(present)
    for (resource, name), found in present:
        scratch.take(resource, {name: found})
    if not incremental.broken:
        assert scratch.documents == incremental.documents
        assert scratch.notices == incremental.notices
        assert scratch.revisions == incremental.revisions


@given(about_services | about_all)
@settings(max_examples=250)
def test_service_ips_are_what_the_specification_says_after_every_change(history: list[Change]) -> None:
    translation = Translation()
    objects: Objects = {}
    for resource, name, found in history:
        translation.take(resource, {name: found})
        objects[resource, name] = found
        expected = specification.service_ips(
            of(objects, SERVICES), of(objects, SLICES), of(objects, NODES), map(claim, of(objects, OWN[ServiceIP]))
        )
        assert expected == beneath("service-ips/", translation.documents)
    assert sorted(f"eligibility/{node.metadata.name}" for node in of(objects, NODES)) == sorted(
        beneath("eligibility/", translation.documents)
    )


def of(objects: Objects, resource: Resource) -> list[Any]:
    return [found for (which, _), found in objects.items() if which == resource and found is not None]


def claim(found: Any) -> ServiceIP:  # noqa: ANN401
    fields = {name: getattr(found.spec, name) for name in found.spec.__struct_fields__}
    return msgspec.convert(fields, ServiceIP, from_attributes=True)


def beneath(prefix: str, documents: Mapping[str, Document]) -> dict[str, Document]:
    return {path: document for path, document in documents.items() if path.startswith(prefix)}


def test_the_specification_can_fail() -> None:
    made = making.service(ingress=[{"ip": "192.0.2.1"}])
    assert isinstance(made, Service)
    assert {"service-ips/10.96.0.10", "service-ips/192.0.2.1"} == specification.service_ips([made], [], [], []).keys()
