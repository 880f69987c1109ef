# SPDX-License-Identifier: Apache-2.0
"""The addresses of a Service, each with what decides from where it is announced.

Promises: a headless Service and an ExternalName have none; an address that is no
address is told in `problems` and costs the Service nothing else. The tricky thing is
the cluster IP: kube-proxy judges what comes to it by `internalTrafficPolicy`, yet
who set `externalTrafficPolicy: Local` has asked for a route from its endpoints
alone; so one of the two is enough. A ClusterIP Service gets no route of its own
unless it asks for one, whatever its policies are.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from buoy.kubernetes.objects import LoadBalancerIngress, Service, ServiceSpec
from buoy.model.address import Address, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.proxied import Kind, ProxyPort

ADVERTISE_ANNOTATION = "projectcalico.org/AdvertiseClusterIP"
"""With the value "true": a host route for each cluster IP of the Service."""

LOAD_BALANCER_CLASS = "buoy.dev/buoy"
"""Our `loadBalancerClass`; a Service without one is ours too."""

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
_LOCAL = "Local"


class Front(NamedTuple):
    """One address of a Service; `local` and `host_route` as in `Backing`."""

    address: Address
    kind: Kind
    local: bool
    host_route: bool = False


class Fronts(NamedTuple):
    """The addresses of a Service, and what of it is none."""

    fronts: tuple[Front, ...] = ()
    problems: tuple[str, ...] = ()


def fronts(service: Service, classes: Iterable[str] = (LOAD_BALANCER_CLASS,)) -> Fronts:
    """Return the addresses of a Service; load-balancer addresses only of `classes` of load balancers, and of none."""
    if service.spec.type not in _TYPES or _cluster_ips(service.spec)[:1] in {(), ("None",)}:
        return Fronts()
    found: dict[tuple[Address, Kind], Front] = {}
    problems = []
    for field, text, front in _candidates(service, frozenset(classes)):
        try:
            address = parse_address(text, field)
        except InvalidInput as error:
            problems.append(str(error))
            continue
        found.setdefault((address, front.kind), front._replace(address=address))
    return Fronts(tuple(found.values()), tuple(problems))


class Ports(NamedTuple):
    """The ports of a Service: those that kube-proxy must forward for every address, and those that no endpoint has."""

    served: tuple[ProxyPort, ...]
    unserved: tuple[ProxyPort, ...] = ()


def ports(service: Service, names: Collection[str]) -> Ports:
    """Return the ports of a Service whose endpoints have ports of these names.

    Where they have none of them, as while there is no endpoint, each is one that must be forwarded.
    """
    every = {ProxyPort(port.protocol.lower(), port.port): port.name for port in service.spec.ports or ()}
    served = tuple(sorted(port for port, name in every.items() if name in names))
    return Ports(served, tuple(sorted(every.keys() - served))) if served else Ports(tuple(sorted(every)))


def _candidates(service: Service, classes: frozenset[str]) -> Iterator[tuple[str, str, Front]]:
    spec = service.spec
    cluster, outside = _cluster_front(service), spec.external_traffic_policy == _LOCAL
    for text in _cluster_ips(spec):
        yield "spec.clusterIPs", text, cluster
    for text in spec.external_ips or ():
        yield "spec.externalIPs", text, Front(Address(""), Kind.EXTERNAL, outside)
    if spec.type == "LoadBalancer" and (spec.load_balancer_class is None or spec.load_balancer_class in classes):
        for ingress in _ingress(service):
            if ingress.ip and ingress.ip_mode in {None, "", "VIP"}:
                yield "status.loadBalancer.ingress", ingress.ip, Front(Address(""), Kind.LOAD_BALANCER, outside)


def _cluster_ips(spec: ServiceSpec) -> tuple[str, ...]:
    """Return the cluster IPs, also of an object from before there could be two."""
    return spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())


def _cluster_front(service: Service) -> Front:
    spec = service.spec
    asked = (service.metadata.annotations or {}).get(ADVERTISE_ANNOTATION) == "true"
    local = _LOCAL in {spec.external_traffic_policy, spec.internal_traffic_policy}
    return Front(Address(""), Kind.CLUSTER, local and (asked or spec.type != "ClusterIP"), asked)


def _ingress(service: Service) -> tuple[LoadBalancerIngress, ...]:
    balancer = service.status.load_balancer
    return (balancer.ingress or ()) if balancer else ()
