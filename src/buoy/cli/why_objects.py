# SPDX-License-Identifier: Apache-2.0
"""`buoy why` of a Service, an Ingress or a pod: why it has no address, and which addresses it has.

Promises the controller's own words, where it has said something, and else why it has not: nobody leads, or the
object is not its affair. The tricky thing is an Ingress or a pod, which has no condition: what is said of them
are Events, which the API server forgets unless they are said again, as the controller does.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from buoy.cli.why_service import addresses_of, no, pending, service_lines, yes
from buoy.controller.events import EVENTS, REPORTER
from buoy.controller.fronts import CLASSES, INGRESSES, Ingress, IngressClass, class_of, served_by, unserved
from buoy.controller.objects import Service as Judged
from buoy.controller.pods import is_asking
from buoy.controller.reading import Ours, shown
from buoy.ipam.scope import FLOATING_IP
from buoy.kubernetes.allocating import leading
from buoy.kubernetes.objects import Service
from buoy.kubernetes.pods import PODS, Pod, owner_of
from buoy.kubernetes.resources import SERVICES
from buoy.model.address import Address, is_address
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.remote import Told
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Selection

NOT_FOUND = "not-found"
"""The reason of an object that is not there."""


_KINDS = {
    **dict.fromkeys(("service", "services", "svc"), "service"),
    **dict.fromkeys(("ingress", "ingresses", "ing"), "ingress"),
    **dict.fromkeys(("pod", "pods", "po"), "pod"),
}
"""What people call a kind, as kubectl takes it."""


class Named(NamedTuple):
    """An object that somebody asks of: ``service``, ``ingress`` or ``pod``, by its name."""

    kind: str
    name: ObjectName


class Found(NamedTuple):
    """What is told of an object itself, and the addresses to be explained with it."""

    lines: list[Told]
    addresses: Sequence[Address] = ()


class _Event(msgspec.Struct, frozen=True):
    note: str = ""
    reason: str = ""
    type: str = ""


async def look(api: ApiServer, asked: Named, snapshot: Snapshot) -> Found:
    """Return what is to be said of an object; raise like `ApiServer.get`."""
    kinds = {"service": _service, "ingress": _ingress, "pod": _pod}
    return await kinds[asked.kind](api, asked.name, snapshot)


async def _service(api: ApiServer, name: ObjectName, snapshot: Snapshot) -> Found:
    service = await api.get(SERVICES.at(name), Service)
    if service is None:
        return _missing("Service", "services", name)
    return Found(list(service_lines(service, await leading(api), snapshot)), addresses_of(service, snapshot))


async def _ingress(api: ApiServer, name: ObjectName, _: Snapshot) -> Found:
    ingress = await api.get(INGRESSES.at(name), Ingress)
    if ingress is None:
        return _missing("Ingress", "ingresses", name)
    klass = await api.get(CLASSES.at(ObjectName("", class_of(ingress))), IngressClass) if class_of(ingress) else None
    front = served_by(klass) if klass is not None else None
    lines = [yes("ingress", f"{name}, class {class_of(ingress) or '-'}" + (f", served by {front}" if front else ""))]
    if addresses := list(shown(ingress)):
        return Found(lines, addresses)
    service = await api.get(SERVICES.at(front), Judged) if front else None
    if service is None or not Ours().balances(service):
        return Found([*lines, no("address", unserved(ingress, front, exists=service is not None), "class-not-served")])
    return Found([*lines, await _said(api, "Ingress", name)])


async def _pod(api: ApiServer, name: ObjectName, snapshot: Snapshot) -> Found:
    pod = await api.get(PODS.at(name), Pod)
    if pod is None:
        return _missing("pod", "pods", name)
    ready = "ready" if pod.is_ready else "not ready"
    lines = [yes("pod", f"{name} on {pod.spec.node_name or 'no node'}, {pod.status.phase or 'unknown'}, {ready}")]
    if pod.spec.host_network:
        return Found([*lines, no("address", "it is in the network of its node, and can have no floating IP", "host")])
    claims = list(_claims(pod, snapshot))
    lines += _led_elsewhere(pod, claims)
    if not claims and is_asking(pod):
        lines.append(await _said(api, "Pod", name))
    elif not claims:
        remedy = f"kubectl annotate pod {name.name} -n {name.namespace} {FLOATING_IP}=POOL"
        lines.append(no("address", f"it has no floating IP and asks for none; {remedy}", "not-asked-for"))
    return Found(lines, [claim.address for claim in claims])


def _claims(pod: Pod, snapshot: Snapshot) -> Iterator[ServiceIP]:
    """Yield the floating IPs of a pod, or of the workload that it belongs to."""
    owner = owner_of(pod).identity._replace(cluster="")
    for _, claim in sorted(snapshot.documents.items()):
        if isinstance(claim, ServiceIP) and claim.released is None:
            owners = {each.identity._replace(cluster="") for each in claim.owners}
            if owner in owners or pod.workload in {end.workload for end in claim.endpoints}:
                yield claim


def _led_elsewhere(pod: Pod, claims: Sequence[ServiceIP]) -> Iterator[Told]:
    for claim in claims:
        others = sorted({end.workload for end in claim.endpoints} - {pod.workload})
        if others:
            yield yes("address", f"{claim.address} of {owner_of(pod).identity} leads to {', '.join(others)} now")


async def _said(api: ApiServer, kind: str, name: ObjectName) -> Told:
    """Return what the controller last said of an object that has no conditions."""
    of = f"regarding.kind={kind},regarding.name={name.name},reportingController={REPORTER}"
    events = await api.list(EVENTS, _Event, Selection(namespace=name.namespace, fields=of))
    warnings = [each for each in events if each.type == "Warning"]
    if warnings:
        return no("address", f"{warnings[-1].reason}: {warnings[-1].note}", warnings[-1].reason)
    return pending(await leading(api))


def _missing(kind: str, plural: str, name: ObjectName) -> Found:
    return Found([no(kind.lower(), f"there is no {kind} {name}; kubectl get {plural} -A", NOT_FOUND)])


def parse(text: str, namespace: str, usual: str) -> Named | None:
    """Return the object that a person names, None if it is none; `usual` is the namespace of who names none."""
    match text.split("/"):
        case [name] if name:
            return Named("service", ObjectName(namespace or usual, name))
        case [kind, name] if name and kind.lower() in _KINDS:
            return Named(_KINDS[kind.lower()], ObjectName(namespace or usual, name))
        case [own, name] if own and name and not is_address(own):  # a prefix, not an object of a namespace
            return Named("service", ObjectName(own, name))
        case [kind, own, name] if own and name and kind.lower() in _KINDS:
            return Named(_KINDS[kind.lower()], ObjectName(own, name))
    return None
