# SPDX-License-Identifier: Apache-2.0
"""The prefixes that cluster IPs come from: what a pod asks for there is inside, so it asks under its own address.

Source: networking.k8s.io/v1 ServiceCIDR (KEP-1880); clusters before Kubernetes 1.33 may have none.
"""

import msgspec

from buoy.kubernetes.objects import Metadata, Texts
from buoy.model.address import Prefix, parse_prefix


class ServiceCIDRSpec(msgspec.Struct, frozen=True):
    """Prefixes of cluster IPs."""

    cidrs: Texts = None


class ServiceCIDR(msgspec.Struct, frozen=True):
    """networking.k8s.io/v1 ServiceCIDR."""

    metadata: Metadata
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


def prefixes(found: ServiceCIDR) -> tuple[Prefix, ...]:
    """Return the prefixes; raise `InvalidInput` if one is none."""
    return tuple(parse_prefix(text, f"spec.cidrs[{index}]") for index, text in enumerate(found.spec.cidrs or ()))
