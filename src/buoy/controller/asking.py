# SPDX-License-Identifier: Apache-2.0
"""What a Service or an Ingress asks for, from its fields, its annotations and those of its namespace.

Promises that what they say is read here and nowhere else. The tricky thing is
`spec.externalIPs`: a Service of whichever type may name addresses of a pool there,
and they are claimed for it, so that nobody else is given them.
"""

import msgspec

from buoy.controller.fronts import Ingress
from buoy.controller.objects import Service, Spec
from buoy.controller.reading import Holder, Ours, external, owner_of
from buoy.ipam.request import Request, backends
from buoy.ipam.scope import Said, wishes
from buoy.kubernetes.objects import Namespace
from buoy.model.address import Address
from buoy.model.proxied import ProxyPort
from buoy.model.service_ip import Owner

_FAMILIES = {"IPv4": 4, "IPv6": 6}


def request_of(service: Service, namespace: Namespace | None, ours: Ours, shows: tuple[Address, ...]) -> Request:
    """Return what a Service asks for; `shows` are the addresses of its own that its status shows."""
    spec = service.spec
    owner = owner_of(service, ours.cluster)
    asked = _request(service, owner, namespace, ours.public_pool, _families(spec) if ours.balances(service) else ())
    return msgspec.structs.replace(
        asked,
        require_all=spec.ip_family_policy == "RequireDualStack",
        externals=tuple(sorted(external(service))),
        ports=_ports(spec),
        backends=backends(owner, spec.selector or {}, local=spec.external_traffic_policy == "Local"),
        shown=shows,
    )


def request_of_ingress(ingress: Ingress, served_by: Service, namespace: Namespace | None, ours: Ours) -> Request:
    """Return what an Ingress asks for: an address of each family of the Service it is served by."""
    owner = owner_of(ingress, ours.cluster)
    asked = _request(ingress, owner, namespace, ours.public_pool, _families(served_by.spec))
    return msgspec.structs.replace(asked, ports=_ports(served_by.spec))


def _request(
    holder: Holder, owner: Owner, namespace: Namespace | None, public_pool: str, families: tuple[int, ...]
) -> Request:
    metadata = holder.metadata
    said = Said(
        kind=owner.kind,
        namespace=owner.namespace,
        annotations=metadata.annotations or {},
        namespace_annotations=(namespace.metadata.annotations if namespace else None) or {},
        public_pool=public_pool,
        address=holder.spec.load_balancer_ip if isinstance(holder, Service) else "",
    )
    wished = wishes(said, families)
    return Request(
        owner=owner,
        families=families,
        wanted=wished.wanted,
        choices=wished.choices,
        sharing=wished.sharing,
        labels=metadata.labels or {},
        namespace_labels=(namespace.metadata.labels if namespace else None) or {},
        objections=wished.objections,
    )


def _families(spec: Spec) -> tuple[int, ...]:
    """The families of a Service's addresses, in order; before there could be two, that of its cluster IP."""
    named = tuple(_FAMILIES[text] for text in spec.ip_families or () if text in _FAMILIES)
    return named or ((6,) if ":" in spec.cluster_ip else (4,))


def _ports(spec: Spec) -> tuple[ProxyPort, ...]:
    return tuple(sorted({ProxyPort(port.protocol.lower(), port.port) for port in spec.ports or ()}))
