# SPDX-License-Identifier: Apache-2.0
"""What is said of a Service as a whole: whose it is, why it has no address, and which addresses are wanted outside.

Promises a reason for every Service that has none, and names what it gets that is not its own. The tricky thing is a
load-balancer class that nobody has: the API server takes any, nobody feels meant, and no condition ever says so.
"""

from collections.abc import Iterator

from buoy.cli.strangers import ADVICE, strangers
from buoy.controller.subject import CONDITION
from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS, fronts
from buoy.kubernetes.allocating import is_meant_for_us
from buoy.kubernetes.objects import Condition, LoadBalancerIngress, Service
from buoy.model.address import Address
from buoy.model.peer import BGPSettings
from buoy.model.proxied import Kind
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.planner.proxied import SETTINGS, advertised
from buoy.planner.remote import Told

_LEADERLESS = "nobody gives addresses: kubectl get pods,leases -n buoy-system"


def yes(topic: str, text: str) -> Told:
    """Return what is as it should be."""
    return Told(topic=topic, text=text, ok=True, reason="")


def no(topic: str, text: str, reason: str) -> Told:
    """Return what is not; `text` says what to do, too."""
    return Told(topic=topic, text=text, ok=False, reason=reason)


def service_lines(service: Service, leader: str | None, snapshot: Snapshot) -> Iterator[Told]:
    """Yield whose a Service is, and what became of its wish for addresses; `leader` as of `allocating.leading`."""
    spec, name = service.spec, f"{service.metadata.namespace}/{service.metadata.name}"
    ports = ", ".join(f"{port.protocol.lower()} {port.port}" for port in spec.ports or ()) or "no ports"
    policy = f", traffic policy {spec.external_traffic_policy}" if spec.external_traffic_policy else ""
    yield yes("service", f"{name}, type {spec.type}, {ports}{policy}")
    if service.metadata.deletion_timestamp:
        left = ", ".join(service.metadata.finalizers or ()) or "none"
        yield no("service", f"it is being deleted, and waits for its finalizers: {left}", "deleted")
    elif spec.type == "LoadBalancer":
        yield _balanced(service, leader)
    elif (said := _condition(service)) is not None:
        yield _judged(said)
    elif not addresses_of(service, snapshot):
        yield _inward(service)
    yield from _of_others(name, snapshot)


def _judged(said: Condition) -> Told:
    text = f"{said.reason}: {said.message}"
    return yes("address", text) if said.status == "True" else no("address", text, said.reason)


def _of_others(name: str, snapshot: Snapshot) -> Iterator[Told]:
    """Yield the addresses of others whose traffic a Service gets all the same."""
    for _, claim in sorted(snapshot.documents.items()):
        if isinstance(claim, ServiceIP) and name in strangers(claim):
            owners = ", ".join(str(owner.identity) for owner in claim.owners)
            text = f"{claim.address} is of {owners}, and kube-proxy leads its traffic to {name} all the same: {ADVICE}"
            yield no("address", text, "address-taken")


def _balanced(service: Service, leader: str | None) -> Told:
    said = _condition(service)
    entries = [entry.ip or entry.hostname for entry in _entries(service)]
    if said is not None:
        return _judged(said)
    if not _is_of_class(service):
        return _foreign(service, entries)
    return yes("address", f"{', '.join(entries)}, given by somebody else") if entries else pending(leader)


def _foreign(service: Service, entries: list[str]) -> Told:
    named = service.spec.load_balancer_class or ""
    if entries:
        return yes("class", f"{named} is not Buoy's; who has that class gave {', '.join(entries)}")
    text = f"class {named} is not Buoy's ({LOAD_BALANCER_CLASS}), and who has it gave no address"
    if is_meant_for_us(named):
        remedy = "a class cannot be changed: delete the Service and make it again"
        text = f"class {named} is not Buoy's, though it looks like {LOAD_BALANCER_CLASS}; {remedy}"
    return no("class", text, "foreign-class")


def pending(leader: str | None) -> Told:
    """Return why nothing was said yet of an object that is to have an address."""
    if not leader:
        return no("address", f"no controller leads: {_LEADERLESS}", "no-controller")
    text = f"{leader} leads, and has said nothing of it yet; ask again, and else: kubectl logs -n buoy-system"
    return no("address", f"{text} deployment/buoy-controller", "not-looked-at")


def _inward(service: Service) -> Told:
    spec = service.spec
    if spec.type == "ExternalName" or "None" in (spec.cluster_ips or ()):
        return no("address", "it has no address of its own that could be announced", "no-address")
    remedy = "make it of type LoadBalancer, or advertise its cluster IP: kubectl get bgpconfigurations"
    return no("address", f"type {spec.type} has no address outside the cluster; {remedy}", "no-address")


def addresses_of(service: Service, snapshot: Snapshot) -> list[Address]:
    """Return the addresses of a Service that are wanted outside: its cluster IPs only where they are advertised."""
    named = service.spec.load_balancer_class
    classes = (LOAD_BALANCER_CLASS, named) if named and _condition(service) else (LOAD_BALANCER_CLASS,)
    found = fronts(service, classes).fronts
    outside = [each.address for each in found if each.kind is not Kind.CLUSTER]
    inside = [each.address for each in found if each.kind is Kind.CLUSTER and _is_advertised(each.address, snapshot)]
    return list(dict.fromkeys((*outside, *inside)))


def _is_advertised(address: Address, snapshot: Snapshot) -> bool:
    claim, settings = snapshot.documents.get(f"service-ips/{address}"), snapshot.documents.get(SETTINGS)
    if not isinstance(claim, ServiceIP) or not isinstance(settings, BGPSettings):
        return False
    return any(advertised(claim, each, settings.advertise) for each in claim.backings)


def _is_of_class(service: Service) -> bool:
    return service.spec.load_balancer_class in {None, LOAD_BALANCER_CLASS}


def _condition(service: Service) -> Condition | None:
    return next((each for each in service.status.conditions or () if each.type == CONDITION), None)


def _entries(service: Service) -> tuple[LoadBalancerIngress, ...]:
    balancer = service.status.load_balancer
    return (balancer.ingress or ()) if balancer else ()
