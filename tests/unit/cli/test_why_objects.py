# SPDX-License-Identifier: Apache-2.0
"""`buoy why` of a Service, an Ingress and a pod: what is said of each, and which addresses are explained with it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from buoy.cli import status_addresses
from buoy.cli.strangers import strangers
from buoy.cli.why_objects import Found, Named, look, parse
from buoy.controller.events import EVENTS
from buoy.controller.fronts import CLASSES, INGRESSES
from buoy.controller.subject import CONDITION
from buoy.kubernetes.allocating import CONTROLLER
from buoy.kubernetes.pods import PODS
from buoy.kubernetes.resources import SERVICES
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.documents import Document
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Advertised, Backing, Kind
from buoy.model.service_ip import Endpoint, Mode, Owner, ServiceIP
from buoy.model.snapshot import Identity, Snapshot
from buoy.store.api_client import ApiServer
from buoy.store.api_lease import LEASES
from buoy.store.api_names import ObjectName, Resource, Selection, Target

WEB = ObjectName("shop", "web")
PUBLIC, INSIDE = Address("203.0.113.7"), Address("10.96.0.7")
PORTS = [{"port": 80}, {"port": 53, "protocol": "UDP"}]
LEADS = {"metadata": {"name": "x", "namespace": "y"}, "spec": {"holderIdentity": "ctl-1", "leaseDurationSeconds": 15}}


class Api:
    """An API server with these objects, by resource and name; `events` are what is listed."""

    date = ""

    def __init__(self, *objects: tuple[Resource, ObjectName, Mapping[str, Any]], events: Any = ()) -> None:  # noqa: ANN401
        self._objects = {resource.at(name): body for resource, name, body in objects}
        self._events = events
        self.asked = Selection()

    async def get(self, target: Target, into: Any) -> Any:  # noqa: ANN401
        body = self._objects.get(target)
        return None if body is None else msgspec.convert(body, into)

    async def list(self, resource: Resource, into: Any, selection: Selection) -> Any:  # noqa: ANN401
        assert EVENTS == resource
        self.asked = selection
        return msgspec.convert(self._events, tuple[into, ...])


LEASE = (LEASES, CONTROLLER, LEADS)


def snapshot(*held: Document) -> Snapshot:
    return Snapshot(Identity("", 0), {documents.path(document): document for document in held}, {}, {})


async def ask(kind: str, api: Api, *held: Document) -> Found:
    return await look(cast("ApiServer", api), Named(kind, WEB), snapshot(*held))


def service(status: Mapping[str, Any] | None = None, **spec: Any) -> tuple[Resource, ObjectName, dict[str, Any]]:  # noqa: ANN401
    plain = {"type": "LoadBalancer", "clusterIPs": [INSIDE], "ports": PORTS, **spec}
    return SERVICES, WEB, {"metadata": {"name": "web", "namespace": "shop"}, "spec": plain, "status": status or {}}


def said(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": CONDITION, "status": status, "reason": reason, "message": "so it is"}]}


def given(*addresses: str) -> dict[str, Any]:
    return {"loadBalancer": {"ingress": [{"ip": each} for each in addresses]}}


@pytest.mark.parametrize(
    ("text", "namespace", "meant"),
    [
        ("service/web", "", ("service", "usual", "web")),
        ("svc/web", "shop", ("service", "shop", "web")),
        ("Services/web", "shop", ("service", "shop", "web")),
        ("shop/web", "", ("service", "shop", "web")),
        ("web", "shop", ("service", "shop", "web")),
        ("web", "", ("service", "usual", "web")),
        ("ing/shop/web", "", ("ingress", "shop", "web")),
        ("pod/web-0", "shop", ("pod", "shop", "web-0")),
        ("203.0.113.0/24", "", None),
        ("2001:db8::/32", "", None),
        ("deployment/shop/web", "", None),
        ("service/", "", None),
        ("/web", "", None),
        ("", "shop", None),
    ],
)
def test_what_a_person_means(text: str, namespace: str, meant: tuple[str, str, str] | None) -> None:
    found = parse(text, namespace, "usual")
    assert meant == (None if found is None else (found.kind, *found.name))


@pytest.mark.parametrize("kind", ["service", "ingress", "pod"])
async def test_what_is_not_there_is_said_to_be_missing(kind: str) -> None:
    found = await ask(kind, Api())
    assert [(kind, False, "not-found")] == [(line["topic"], line["ok"], line["reason"]) for line in found.lines]


@pytest.mark.parametrize(
    ("wanted", "ok", "words"),
    [
        (service(said("True", "Allocated") | given(PUBLIC)), True, "Allocated: so it is"),
        (service(said("False", "PoolMissing")), False, "PoolMissing: so it is"),
        (service(), False, "ctl-1 leads, and has said nothing of it yet"),
        (service(given("192.0.2.9")), True, "192.0.2.9, given by somebody else"),
        (service(loadBalancerClass="buoy.dev/buyo"), False, "though it looks like buoy.dev/buoy; a class cannot be"),
        (service(loadBalancerClass="bouy.dev/buoy"), False, "though it looks like buoy.dev/buoy; a class cannot be"),
        (service(loadBalancerClass="example.net/lb"), False, "class example.net/lb is not Buoy's (buoy.dev/buoy)"),
        (service(given(PUBLIC), loadBalancerClass="example.net/lb"), True, "who has that class gave 203.0.113.7"),
        (service(said("True", "Allocated"), loadBalancerClass="example.net/own"), True, "Allocated: so it is"),
        (service(type="ClusterIP"), False, "type ClusterIP has no address outside the cluster; make it of type"),
        (service(type="ClusterIP", clusterIPs=["None"]), False, "it has no address of its own"),
        (service(type="ExternalName", clusterIPs=None), False, "it has no address of its own"),
    ],
)
async def test_a_service_has_an_address_or_a_reason(wanted: Any, ok: bool, words: str) -> None:  # noqa: ANN401
    found = await ask("service", Api(wanted, LEASE))
    first, last = found.lines
    assert (f"shop/web, type {wanted[2]['spec']['type']}, tcp 80, udp 53", True) == (first["text"], first["ok"])
    assert (ok, True) == (last["ok"], words in last["text"])


async def test_without_a_controller_that_is_the_reason() -> None:
    [_, last] = (await ask("service", Api(service()))).lines
    assert ("no-controller", True) == (last["reason"], "kubectl get pods,leases -n buoy-system" in last["text"])


async def test_a_service_that_is_going_says_what_it_waits_for() -> None:
    resource, name, body = service()
    metadata = {"deletionTimestamp": "2026-11-21T12:00:00Z", "finalizers": ["example.net/wait"], **body["metadata"]}
    [_, last] = (await ask("service", Api((resource, name, {**body, "metadata": metadata}), LEASE))).lines
    assert (False, True) == (last["ok"], "example.net/wait" in last["text"])


async def test_the_addresses_that_are_wanted_outside_are_explained() -> None:
    wanted = service(said("True", "Allocated") | given(PUBLIC), externalIPs=["192.0.2.7"])
    backing = Backing(service="shop/web", kind=Kind.CLUSTER)
    inside = ServiceIP(address=INSIDE, mode=Mode.PROXIED, backings=(backing,))
    api = Api(wanted, LEASE)
    assert {PUBLIC, "192.0.2.7"} == set((await ask("service", api, inside, BGPSettings())).addresses)
    advertised = BGPSettings(advertise=(Advertised(prefix=Prefix("10.96.0.0/16"), kinds=(Kind.CLUSTER,)),))
    assert {PUBLIC, "192.0.2.7", INSIDE} == set((await ask("service", api, inside, advertised)).addresses)


def ingress(status: Mapping[str, Any] | None = None, name: str | None = "nginx") -> Any:  # noqa: ANN401
    metadata = {"name": "web", "namespace": "shop"}
    return INGRESSES, WEB, {"metadata": metadata, "spec": {"ingressClassName": name}, "status": status or {}}


def klass(served_by: str) -> Any:  # noqa: ANN401
    metadata = {"name": "nginx", "annotations": {"buoy.dev/service": served_by}}
    return CLASSES, ObjectName("", "nginx"), {"metadata": metadata}


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((ingress(name=None),), "it has no class"),
        ((ingress(),), "class nginx does not say behind which Service"),
        ((ingress(), klass("shop/front")), "class nginx is served by Service shop/front, which does not exist"),
        ((ingress(), klass("shop/web"), service(type="ClusterIP")), "which has no addresses of ours"),
        ((ingress(), klass("shop/web"), service(), LEASE), "ctl-1 leads, and has said nothing of it yet"),
    ],
)
async def test_an_ingress_without_an_address_has_a_reason(objects: Any, words: str) -> None:  # noqa: ANN401
    found = await ask("ingress", Api(*objects))
    assert (False, True) == (found.lines[-1]["ok"], words in found.lines[-1]["text"])


async def test_of_what_has_no_condition_the_last_warning_is_told() -> None:
    events = [
        {"type": "Warning", "reason": "PoolFull", "note": "no more"},
        {"type": "Warning", "reason": "PoolMissing", "note": "no such pool"},
        {"type": "Normal", "reason": "Allocated", "note": "once"},
    ]
    api = Api(ingress(), klass("shop/web"), service(), events=events)
    last = (await ask("ingress", api)).lines[-1]
    assert ("PoolMissing", "PoolMissing: no such pool") == (last["reason"], last["text"])
    assert ("shop", True) == (api.asked.namespace, "regarding.kind=Ingress,regarding.name=web" in api.asked.fields)


async def test_an_ingress_with_an_address_has_it_explained() -> None:
    found = await ask("ingress", Api(ingress(given(PUBLIC)), klass("shop/web")))
    assert (["shop/web, class nginx, served by shop/web"], [PUBLIC]) == (
        [line["text"] for line in found.lines],
        list(found.addresses),
    )


def pod(*, host: bool = False, asks: str = "", made_by: str = "") -> Any:  # noqa: ANN401
    metadata: dict[str, Any] = {"name": "web", "namespace": "shop", "uid": "u"}
    if asks:
        metadata["annotations"] = {"buoy.dev/floating-ip": asks}
    if made_by:
        metadata["ownerReferences"] = [{"kind": "DaemonSet", "name": made_by, "controller": True}]
    spec = {"nodeName": "node-1", "hostNetwork": host}
    return PODS, WEB, {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (pod(host=True), "it is in the network of its node"),
        (pod(), "it has no floating IP and asks for none; kubectl annotate pod web -n shop buoy.dev/floating-ip=POOL"),
        (pod(asks="gold"), "ctl-1 leads, and has said nothing of it yet"),
    ],
)
async def test_a_pod_without_a_floating_ip_has_a_reason(wanted: Any, words: str) -> None:  # noqa: ANN401
    found = await ask("pod", Api(wanted, LEASE))
    assert "shop/web on node-1, Running, not ready" == found.lines[0]["text"]
    assert (False, True, []) == (found.lines[-1]["ok"], words in found.lines[-1]["text"], list(found.addresses))


async def test_a_floating_ip_that_another_pod_of_the_owner_has_is_told_to_be_there() -> None:
    owner = Owner(kind="DaemonSet", namespace="shop", name="proxy")
    end = Endpoint(workload="shop/other", target=Address("10.244.0.9"), node="node-2")
    claim = ServiceIP(address=PUBLIC, owners=(owner,), endpoints=(end,))
    released = ServiceIP(address=Address("203.0.113.8"), owners=(owner,), released=dt.datetime.now(dt.UTC))
    found = await ask("pod", Api(pod(made_by="proxy")), claim, released)
    assert [PUBLIC] == found.addresses
    assert "203.0.113.7 of DaemonSet shop/proxy leads to shop/other now" == found.lines[-1]["text"]
    own = ServiceIP(address=PUBLIC, endpoints=(msgspec.structs.replace(end, workload="shop/web"),))
    assert 1 == len((await ask("pod", Api(pod()), own)).lines)


TAKEN = Owner(kind="Service", namespace="shop", name="own")


def reached(kind: Kind, *owners: Owner, **fields: Any) -> ServiceIP:  # noqa: ANN401
    backing = Backing(service="shop/web", kind=kind)
    claim = ServiceIP(address=PUBLIC, mode=Mode.PROXIED, owners=owners, backings=(backing,))
    return msgspec.structs.replace(claim, **fields)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
async def test_who_was_refused_an_address_and_gets_its_traffic_is_told_both(kind: str) -> None:
    wanted = service(said("False", "AddressTaken"), type=kind, externalIPs=[PUBLIC])
    found = await ask("service", Api(wanted, LEASE), reached(Kind.EXTERNAL, TAKEN))
    _, refused, led = found.lines
    assert (False, "AddressTaken: so it is") == (refused["ok"], refused["text"])
    text = "203.0.113.7 is of Service shop/own, and kube-proxy leads its traffic to shop/web all the same"
    assert (False, f"{text}: take it out of its spec.externalIPs") == (led["ok"], led["text"])


async def test_who_was_given_the_address_that_it_names_is_told_so() -> None:
    wanted = service(said("True", "Allocated"), type="ClusterIP", externalIPs=[PUBLIC])
    owner = msgspec.structs.replace(TAKEN, name="web")
    found = await ask("service", Api(wanted, LEASE), reached(Kind.EXTERNAL, TAKEN, owner))
    assert [True, True] == [line["ok"] for line in found.lines]


@pytest.mark.parametrize(
    "claim",
    [
        reached(Kind.EXTERNAL),
        reached(Kind.LOAD_BALANCER, TAKEN),
        reached(Kind.EXTERNAL, TAKEN, mode=Mode.TRANSLATED),
        reached(Kind.EXTERNAL, TAKEN, released=dt.datetime(2026, 11, 21, tzinfo=dt.UTC)),
    ],
)
def test_nobody_is_a_stranger_where_the_address_is_nobodys_shown_for_its_owner_or_translated(claim: ServiceIP) -> None:
    assert [] == strangers(claim)


def test_status_names_an_address_whose_traffic_a_stranger_gets() -> None:
    note = "shop/web, which it was not given to; take it out of its spec.externalIPs"
    line = (f"address {PUBLIC}", "its traffic goes to others, too", note)
    assert line in list(status_addresses.lines(snapshot(reached(Kind.EXTERNAL, TAKEN))))
