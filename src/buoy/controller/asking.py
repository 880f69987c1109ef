# SPDX-License-Identifier: Apache-2.0
"""What a Service asks for, from its fields, its annotations and those of its namespace.

Promises that a wish which cannot be understood is told and never guessed at.
"""

from buoy.controller.objects import Service
from buoy.controller.reading import Ours, owner_of
from buoy.ipam.request import Request
from buoy.kubernetes.objects import Namespace, ServiceSpec
from buoy.model.address import Address

_FAMILIES = {"IPv4": 4, "IPv6": 6}


def request_of(service: Service, namespace: Namespace | None, ours: Ours, shows: tuple[Address, ...]) -> Request:
    """Return the request; `shows` are the addresses of ours that its status shows."""
    spec = service.spec
    owner = owner_of(service, ours.cluster)
    return Request(
        owner=owner,
        families=_families(spec),
        require_all=spec.ip_family_policy == "RequireDualStack",
        shown=shows,
        labels=service.metadata.labels or {},
        namespace_labels=(namespace.metadata.labels if namespace else None) or {},
    )


def _families(spec: ServiceSpec) -> tuple[int, ...]:
    """The families of a Service's addresses, in order; before there could be two, that of its cluster IP."""
    named = tuple(_FAMILIES[text] for text in spec.ip_families or () if text in _FAMILIES)
    return named or ((6,) if ":" in spec.cluster_ip else (4,))
