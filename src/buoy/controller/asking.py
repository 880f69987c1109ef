# SPDX-License-Identifier: Apache-2.0
"""What a Service asks for, from its fields, its annotations and those of its namespace.

Promises that what the Service says is read here and nowhere else. The tricky thing is
`spec.externalIPs`: a Service of whichever type may name addresses of a pool there,
and they are claimed for it, so that nobody else is given them.
"""

from buoy.controller.objects import Service, Spec
from buoy.controller.reading import Ours, external, owner_of
from buoy.ipam.request import Request, backends
from buoy.ipam.scope import Said, wishes
from buoy.kubernetes.objects import Namespace
from buoy.model.address import Address
from buoy.model.proxied import ProxyPort

_FAMILIES = {"IPv4": 4, "IPv6": 6}


def request_of(service: Service, namespace: Namespace | None, ours: Ours, shows: tuple[Address, ...]) -> Request:
    """Return the request; `shows` are the addresses of ours that its status shows."""
    spec, metadata = service.spec, service.metadata
    owner = owner_of(service, ours.cluster)
    families = _families(spec) if ours.balances(service) else ()
    said = Said(
        kind=owner.kind,
        namespace=owner.namespace,
        annotations=metadata.annotations or {},
        namespace_annotations=(namespace.metadata.annotations if namespace else None) or {},
        public_pool=ours.public_pool,
        address=spec.load_balancer_ip,
    )
    wished = wishes(said, families)
    return Request(
        owner=owner,
        families=families,
        require_all=spec.ip_family_policy == "RequireDualStack",
        wanted=wished.wanted,
        externals=tuple(sorted(external(service))),
        choices=wished.choices,
        sharing=wished.sharing,
        ports=tuple(sorted({ProxyPort(port.protocol.lower(), port.port) for port in spec.ports or ()})),
        backends=backends(owner, spec.selector or {}, local=spec.external_traffic_policy == "Local"),
        labels=metadata.labels or {},
        namespace_labels=(namespace.metadata.labels if namespace else None) or {},
        shown=shows,
        objections=wished.objections,
    )


def _families(spec: Spec) -> tuple[int, ...]:
    """The families of a Service's addresses, in order; before there could be two, that of its cluster IP."""
    named = tuple(_FAMILIES[text] for text in spec.ip_families or () if text in _FAMILIES)
    return named or ((6,) if ":" in spec.cluster_ip else (4,))
