# SPDX-License-Identifier: Apache-2.0
"""What the documents of a cluster are, said a second time and without any care for speed.

One sentence of the API's documentation is one line here, over all objects at once;
nothing is shared with the translation but the structs.
"""

import ipaddress
from collections.abc import Iterable, Mapping

import msgspec

from buoy.kubernetes.objects import EndpointSlice, Node, Service, SliceEndpoint
from buoy.model.documents import Document
from buoy.model.proxied import Backing, Kind, ProxyPort
from buoy.model.service_ip import Mode, ServiceIP

Seen = tuple[str, Kind, Service]


def service_ips(
    services: Iterable[Service], slices: Iterable[EndpointSlice], nodes: Iterable[Node], claims: Iterable[ServiceIP]
) -> dict[str, Document]:
    """Every service IP of these objects, by path."""
    known = {node.metadata.name for node in nodes}
    every = list(slices)
    claims = list(claims)
    found = sorted(
        (
            (address, kind, service)
            for service in services
            for address, kind in addresses(service) | given(addresses(service), service, claims)
        ),
        key=lambda each: (each[2].metadata.namespace, each[2].metadata.name, each[1]),
    )
    claimed = {str(claim.address): claim for claim in claims}
    made: dict[str, Document] = {}
    for address in {each[0] for each in found} | set(claimed):
        backings = tuple(backing(each, every, known) for each in found if each[0] == address)
        claim = claimed.get(address, ServiceIP(address=address, mode=Mode.PROXIED))  # type: ignore[arg-type]
        if claim.mode is Mode.PROXIED:
            claim = msgspec.structs.replace(claim, backings=backings)
        made[f"service-ips/{address}"] = claim
    return made


def given(found: set[tuple[str, Kind]], service: Service, claims: Iterable[ServiceIP]) -> set[tuple[str, Kind]]:
    """External IPs that Buoy gave to the Service are addresses of its pools."""
    name = service.metadata
    mine = {
        str(claim.address)
        for claim in claims
        for owner in claim.owners
        if claim.released is None
        and (owner.kind, owner.namespace, owner.name) == ("Service", name.namespace, name.name)
    }
    return {(address, Kind.LOAD_BALANCER) for address, kind in found if kind is Kind.EXTERNAL and address in mine}


def addresses(service: Service) -> set[tuple[str, Kind]]:
    spec = service.spec
    if spec.type == "ExternalName" or spec.cluster_ips == ("None",) or not spec.cluster_ips:
        return set()
    texts = [(text, Kind.CLUSTER) for text in spec.cluster_ips]
    texts += [(text, Kind.EXTERNAL) for text in spec.external_ips or ()]
    if spec.type == "LoadBalancer" and spec.load_balancer_class in {None, "buoy.dev/buoy"}:
        balancer = service.status.load_balancer
        for entry in (balancer.ingress if balancer else None) or ():
            if entry.ip and entry.ip_mode != "Proxy":
                texts.append((entry.ip, Kind.LOAD_BALANCER))
    return {(str(ipaddress.ip_address(text)), kind) for text, kind in texts}


def backing(seen: Seen, slices: list[EndpointSlice], known: set[str]) -> Backing:
    address, kind, service = seen
    name, spec = service.metadata, service.spec
    family = "IPv6" if ":" in address else "IPv4"
    found = [endpoint for each in slices if belongs(each, service, family) for endpoint in each.endpoints or ()]
    names = {
        port.name or ""
        for each in slices
        if belongs(each, service, family) and any(counts(one, service, known) for one in each.endpoints or ())
        for port in each.ports or ()
    }
    every = {port: ProxyPort(port.protocol.lower(), port.port) for port in spec.ports or ()}
    served = {every[port] for port in every if port.name in names} or set(every.values())
    ready = [endpoint for endpoint in found if is_ready(endpoint, service)]
    leaving = [endpoint for endpoint in found if not is_ready(endpoint, service) and serves_on(endpoint)]
    there = {str(endpoint.node_name) for endpoint in ready if endpoint.node_name in known}
    asked = (name.annotations or {}).get("projectcalico.org/AdvertiseClusterIP") == "true"
    local = spec.external_traffic_policy == "Local"
    if kind is Kind.CLUSTER:
        local = (local or spec.internal_traffic_policy == "Local") and (spec.type != "ClusterIP" or asked)
    return Backing(
        service=f"{name.namespace}/{name.name}",
        kind=kind,
        ports=tuple(sorted(served)),
        unserved=tuple(sorted(set(every.values()) - served)),
        local=local,
        host_route=asked and kind is Kind.CLUSTER,
        ready=tuple(sorted(there)),
        draining=tuple(sorted({str(each.node_name) for each in leaving if each.node_name in known} - there)),
        elsewhere=any(endpoint.node_name not in known for endpoint in ready),
    )


def belongs(found: EndpointSlice, service: Service, family: str) -> bool:
    name, labels = service.metadata, found.metadata.labels or {}
    here = found.metadata.namespace == name.namespace and found.address_type == family
    return here and labels.get("kubernetes.io/service-name") == name.name


def counts(endpoint: SliceEndpoint, service: Service, known: set[str]) -> bool:
    return is_ready(endpoint, service) or (serves_on(endpoint) and endpoint.node_name in known)


def is_ready(endpoint: SliceEndpoint, service: Service) -> bool:
    said: Mapping[str, bool | None] = msgspec.structs.asdict(endpoint.conditions) if endpoint.conditions else {}
    if said.get("ready") is False:
        return False
    return said.get("terminating") is not True or service.spec.publish_not_ready_addresses


def serves_on(endpoint: SliceEndpoint) -> bool:
    said: Mapping[str, bool | None] = msgspec.structs.asdict(endpoint.conditions) if endpoint.conditions else {}
    if said.get("terminating") is not True:
        return False
    return said.get("serving") is True or (said.get("serving") is None and said.get("ready") is not False)
