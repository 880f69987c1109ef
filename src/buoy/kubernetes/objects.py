# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' own objects, cut down to what Buoy reads of them.

Promises: fields that are unknown are passed over, and a list that is null is none:
Go writes an empty list of an EndpointSlice so. Names and meaning are those of
``k8s.io/api`` (core/v1, discovery/v1).
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Texts: TypeAlias = tuple[str, ...] | None
Labels: TypeAlias = Mapping[str, str] | None


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What every object has; `resource_version` orders the lives of one API server's objects."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: Labels = None
    annotations: Labels = None
    finalizers: Texts = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ServicePort(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One port of a Service."""

    port: int
    protocol: str = "TCP"
    name: str = ""


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is wanted of a Service."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: Texts = msgspec.field(default=None, name="clusterIPs")
    external_ips: Texts = msgspec.field(default=None, name="externalIPs")
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    ip_families: Texts = None
    ip_family_policy: str = ""
    load_balancer_class: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    publish_not_ready_addresses: bool = False


class LoadBalancerIngress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One entry of ``status.loadBalancer``; `ip_mode` None is VIP."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class LoadBalancer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a load balancer was found."""

    ingress: tuple[LoadBalancerIngress, ...] | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A condition as every object has it (metav1.Condition)."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str | None = None


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was seen of a Service."""

    load_balancer: LoadBalancer | None = None
    conditions: tuple[Condition, ...] | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """core/v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """None is unknown, which counts as ready, as serving if ready, and as not terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One endpoint; `node_name` None if it is on no node, or nobody says on which."""

    addresses: Texts = None
    conditions: EndpointConditions | None = None
    node_name: str | None = None


class SlicePort(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of the endpoints of a slice; its name is that of the Service's port."""

    name: str | None = None
    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """discovery.k8s.io/v1 EndpointSlice: some endpoints, of one family, of the Service its label names."""

    metadata: Metadata
    address_type: str
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


class Taint(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What keeps pods off a node."""

    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is wanted of a node."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: Texts = msgspec.field(default=None, name="podCIDRs")
    taints: tuple[Taint, ...] | None = None
    unschedulable: bool = False


class NodeAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An address of a node, such as its InternalIP."""

    type: str
    address: str


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was seen of a node."""

    addresses: tuple[NodeAddress, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """core/v1 Node."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Namespace(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """core/v1 Namespace: its labels and annotations, and the UID by which a cluster is known."""

    metadata: Metadata
