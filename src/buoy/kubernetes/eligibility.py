# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes node as what the planner asks of it: whether it may attract traffic, and what is its own.

Promises the rules of Kubernetes' own cloud controllers (k8s.io/cloud-provider,
controllers/service): a node that is being deleted is drained and switched off before
its finalizers let it go, the exclusion label counts by its value, as Go reads one, and
neither cordoning nor a node that is not ready changes anything here: the BGP session
is the truth of that.
"""

import ipaddress
from collections.abc import Iterator

from buoy.kubernetes.objects import Node
from buoy.model.address import Address, Prefix, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.proxied import Eligibility

EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
GOING_TAINT = "ToBeDeletedByClusterAutoscaler"
NETWORK_CONDITION = "NetworkUnavailable"

_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""What Go's strconv.ParseBool takes for false; "" and what it cannot read exclude."""


def translate_node(node: Node) -> Eligibility:
    """Return whether a node may attract traffic, with its InternalIPs and pod prefixes; what is no address is left out.

    Sources: https://kubernetes.io/docs/reference/labels-annotations-taints/, KEP-3458, KEP-3836.
    """
    return Eligibility(
        node=node.metadata.name,
        excluded=exclusion(node),
        addresses=tuple(dict.fromkeys(_addresses(node))),
        prefixes=tuple(dict.fromkeys(_prefixes(node))),
    )


def exclusion(node: Node) -> str:
    """Say why a node may attract no traffic; "" if it may."""
    if node.metadata.deletion_timestamp is not None:
        return "it is being deleted"
    value = (node.metadata.labels or {}).get(EXCLUDE_LABEL)
    if value is not None and value not in _FALSE:
        return f"label {EXCLUDE_LABEL}={value}"
    if any(taint.key == GOING_TAINT for taint in node.spec.taints or ()):
        return f"taint {GOING_TAINT}"
    for condition in node.status.conditions or ():
        if condition.type == NETWORK_CONDITION and condition.status == "True":
            return f"condition {NETWORK_CONDITION}: {condition.message or condition.reason or condition.status}"
    return ""


def _addresses(node: Node) -> Iterator[Address]:
    for address in node.status.addresses or ():
        if address.type == "InternalIP":
            try:
                yield parse_address(address.address)
            except InvalidInput:
                # a node that names one address wrongly still has its others
                continue


def _prefixes(node: Node) -> Iterator[Prefix]:
    for text in node.spec.pod_cidrs or (node.spec.pod_cidr,):
        try:
            yield Prefix(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            continue
