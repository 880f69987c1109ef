# SPDX-License-Identifier: Apache-2.0
"""Pods, as far as a floating IP depends on them: whose they are, where they run, and what they ask for.

Promises that a pod's successor has the same owner, which is what a floating IP is given to. A pod that is
known by its name (alone, or of a StatefulSet) is its own owner; any other belongs to the workload that made
it, a ReplicaSet's to its Deployment. So an owner has one floating IP of a family, and one of its pods has it.

The tricky thing is a pod in the network of its node: its address is the node's, and is never lent.

Sources: core/v1 Pod, metav1 OwnerReference; label pod-template-hash of apps/v1.
"""

from collections.abc import Collection, Iterable

import msgspec

from buoy.kubernetes.objects import Condition, Labels
from buoy.kubernetes.resources import PODS
from buoy.model.address import Address, family, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.service_ip import Attachment, Endpoint, Owner, PortMapping
from buoy.store.api_names import ObjectName

__all__ = ["PODS", "Pod", "addresses", "chosen", "endpoints", "is_candidate", "owner_of", "parse_mappings"]

_BY_NAME = frozenset({"StatefulSet", "Node", "Service", "Ingress", "Pod"})
"""Kinds whose pods keep their names, or that own addresses of another sort."""
_HASH = "pod-template-hash"
_MAPPING = "write tcp/80:8080, or udp/5000-5010:6000, with commas between them"


class OwnerReference(msgspec.Struct, frozen=True, kw_only=True):
    """Who made an object, and whether it looks after it."""

    kind: str
    name: str
    controller: bool = False


class PodMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is read of a pod's metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: Labels = None
    annotations: Labels = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: tuple[OwnerReference, ...] | None = None


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a pod is to run."""

    node_name: str = ""
    host_network: bool = False


class PodIP(msgspec.Struct, frozen=True):
    """One address of a pod."""

    ip: str = ""


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a pod."""

    phase: str = ""
    conditions: tuple[Condition, ...] | None = None
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=None, name="podIPs")


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """core/v1 Pod."""

    metadata: PodMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def name(self) -> ObjectName:
        """Its name."""
        return ObjectName(self.metadata.namespace, self.metadata.name)

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""
        return self.metadata.deletion_timestamp is not None

    @property
    def is_ready(self) -> bool:
        """Whether it says that it serves."""
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())

    @property
    def workload(self) -> str:
        """What an endpoint calls it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


def owner_of(pod: Pod, cluster: str = "") -> Owner:
    """Return to whom a floating IP of a pod is given; see the promise above."""
    said = pod.metadata
    made_by = next((each for each in said.owner_references or () if each.controller), None)
    if made_by is None or made_by.kind in _BY_NAME:
        return Owner(kind="Pod", namespace=said.namespace, name=said.name, uid=said.uid, cluster=cluster)
    kind, name = made_by.kind, made_by.name
    suffix = f"-{(said.labels or {}).get(_HASH, '')}"
    if kind == "ReplicaSet" and len(suffix) > 1 and name.endswith(suffix):
        kind, name = "Deployment", name.removesuffix(suffix)
    return Owner(kind=kind, namespace=said.namespace, name=name, cluster=cluster)


def addresses(pod: Pod) -> dict[int, Address]:
    """Return a pod's own addresses by family; none of one that has its node's."""
    found: dict[int, Address] = {}
    for each in () if pod.spec.host_network else pod.status.pod_ips or ():
        try:
            address = parse_address(each.ip)
        except InvalidInput:
            continue
        found.setdefault(family(address), address)
    return found


def is_candidate(pod: Pod) -> bool:
    """Tell whether packets can be sent to a pod: it runs on a node, and has an address there."""
    return bool(pod.spec.node_name and pod.status.phase == "Running" and addresses(pod))


def chosen(pods: Iterable[Pod], had: Collection[str]) -> Pod | None:
    """Return which pod of an owner has its floating IP; `had` names the one that has it now.

    One that goes, or is not ready, yields to one that is; else it stays where it is.
    """
    found = filter(is_candidate, pods)
    return min(
        found,
        key=lambda pod: (
            pod.is_leaving,
            not pod.is_ready,
            pod.workload not in had,
            pod.metadata.creation_timestamp or "",
            pod.name,
        ),
        default=None,
    )


def endpoints(pod: Pod | None, of_family: int, mappings: Iterable[PortMapping]) -> tuple[Endpoint, ...]:
    """Return where a floating IP leads to that a pod has, nowhere if it has no address of the family."""
    target = addresses(pod).get(of_family) if pod is not None else None
    if pod is None or target is None:
        return ()
    whole = Endpoint(
        workload=pod.workload,
        target=target,
        node=pod.spec.node_name,
        attached=Attachment.HOST,
    )
    return tuple(msgspec.structs.replace(whole, mapping=each) for each in mappings) or (whole,)


def parse_mappings(text: str, field: str) -> tuple[PortMapping, ...]:
    """Return the port mappings of a text such as ``tcp/80:8080,udp/5000-5010:6000``; raise `InvalidInput`."""
    return tuple(_mapping(part.strip(), field) for part in text.split(",") if text.strip())


def _mapping(text: str, field: str) -> PortMapping:
    protocol, _, ports = text.lower().partition("/")
    outer, _, inner = ports.partition(":")
    first, _, last = outer.partition("-")
    try:
        numbers = [int(each) for each in (first, last or first, inner or first)]
    except ValueError as error:
        raise InvalidInput(field, text, _MAPPING) from error
    if protocol not in {"tcp", "udp", "sctp"} or not 0 < numbers[0] <= numbers[1] <= 65535 or not _fits(*numbers):
        raise InvalidInput(field, text, _MAPPING)
    return PortMapping(protocol=protocol, first=numbers[0], last=numbers[1], target_first=numbers[2])


def _fits(first: int, last: int, inner: int) -> bool:
    return 0 < inner <= 65535 - (last - first)
