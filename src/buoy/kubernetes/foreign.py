# SPDX-License-Identifier: Apache-2.0
"""Objects of Calico (projectcalico.org/v3) and MetalLB (metallb.io/v1beta1), as far as Buoy reads them.

Promises that a field which is known and not honoured is still read, so that it can be
named to whoever wrote it; those are of type `Any`, for nothing is done with them.

Sources: projectcalico/calico api/pkg/apis/projectcalico/v3, metallb api/v1beta1.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from buoy.kubernetes.objects import Metadata, Texts


class Block(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A block of addresses, ``{"cidr": "192.0.2.0/24"}``."""

    cidr: str


class SecretKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key of a Secret."""

    name: str
    key: str


class Password(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A password, by the Secret that holds it."""

    secret_key_ref: SecretKey


class Community(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A name for a community, ``aa:nn`` or ``aa:nn:mm``."""

    name: str = ""
    value: str = ""


class PrefixAdvertisement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """With which communities, by name or value, what is inside a prefix is announced."""

    cidr: str = ""
    communities: Texts = None


class BGPConfigurationSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The cluster's BGP."""

    as_number: int | str | None = None
    node_to_node_mesh_enabled: bool | None = None
    listen_port: int | None = None
    service_cluster_ips: tuple[Block, ...] | None = msgspec.field(default=None, name="serviceClusterIPs")
    service_external_ips: tuple[Block, ...] | None = msgspec.field(default=None, name="serviceExternalIPs")
    service_load_balancer_ips: tuple[Block, ...] | None = msgspec.field(default=None, name="serviceLoadBalancerIPs")
    service_load_balancer_aggregation: str | None = None
    node_mesh_max_restart_time: str | None = None
    communities: tuple[Community, ...] | None = None
    prefix_advertisements: tuple[PrefixAdvertisement, ...] | None = None
    node_mesh_password: Password | None = None
    bind_mode: Any = None
    ignored_interfaces: Any = None
    local_workload_peering_ipv4: Any = msgspec.field(default=None, name="localWorkloadPeeringIPV4")
    local_workload_peering_ipv6: Any = msgspec.field(default=None, name="localWorkloadPeeringIPV6")
    program_cluster_routes: Any = None
    ipv4_normal_route_priority: Any = None
    ipv6_normal_route_priority: Any = None
    log_severity_screen: Any = None
    extensions: Any = None


class BGPConfiguration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """projectcalico.org/v3 BGPConfiguration; the one named ``default`` is the cluster's."""

    metadata: Metadata
    spec: BGPConfigurationSpec = BGPConfigurationSpec()


class BGPPeerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """With whom which nodes speak."""

    node: str = ""
    node_selector: str = ""
    peer_ip: str = msgspec.field(default="", name="peerIP")
    peer_selector: str = ""
    as_number: int | str | None = None
    local_as_number: int | str | None = msgspec.field(default=None, name="localASNumber")
    keepalive_time: str | None = None
    max_restart_time: str | None = None
    source_address: str | None = None
    filters: Texts = None
    password: Password | None = None
    keep_original_next_hop: bool | None = None
    next_hop_mode: str | None = None
    num_allowed_local_as_numbers: int | None = msgspec.field(default=None, name="numAllowedLocalASNumbers")
    ttl_security: int | None = msgspec.field(default=None, name="ttlSecurity")
    reachable_by: Any = None
    reverse_peering: Any = None
    local_workload_selector: Any = None
    failure_detection_mode: str | None = None
    restart_mode: Any = None
    bird_gateway_mode: Any = None
    external_network: Any = None
    extensions: Any = None


class BGPPeer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """projectcalico.org/v3 BGPPeer."""

    metadata: Metadata
    spec: BGPPeerSpec = BGPPeerSpec()


class PrefixLength(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Lengths of prefixes, both included."""

    min: int | None = None
    max: int | None = None


class BGPFilterRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rule: what it matches, and what becomes of it."""

    action: str
    cidr: str = ""
    match_operator: str = ""
    prefix_length: PrefixLength | None = None
    source: Any = None
    interface: Any = None
    peer_type: Any = None
    communities: Any = None
    as_path_prefix: Any = None
    priority: Any = None
    operations: Any = None


class BGPFilterSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Rules by direction and family."""

    export_v4: tuple[BGPFilterRule, ...] | None = None
    export_v6: tuple[BGPFilterRule, ...] | None = None
    import_v4: tuple[BGPFilterRule, ...] | None = None
    import_v6: tuple[BGPFilterRule, ...] | None = None


class BGPFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """projectcalico.org/v3 BGPFilter."""

    metadata: Metadata
    spec: BGPFilterSpec = BGPFilterSpec()


class MatchExpression(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One requirement on a label (metav1.LabelSelectorRequirement)."""

    key: str
    operator: str
    values: Texts = None


class LabelSelector(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """metav1.LabelSelector."""

    match_labels: Mapping[str, str] | None = None
    match_expressions: tuple[MatchExpression, ...] | None = None


class ServiceAllocation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """For whom a pool is; the lowest priority is asked first, 0 last."""

    priority: int = 0
    namespaces: Texts = None
    namespace_selectors: tuple[LabelSelector, ...] | None = None
    service_selectors: tuple[LabelSelector, ...] | None = None


class IPAddressPoolSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Addresses as ``192.0.2.0/24`` or ``192.0.2.1-192.0.2.9``."""

    addresses: Texts = None
    auto_assign: bool | None = None
    avoid_buggy_ips: bool = msgspec.field(default=False, name="avoidBuggyIPs")
    service_allocation: ServiceAllocation | None = None


class IPAddressPool(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """metallb.io/v1beta1 IPAddressPool."""

    metadata: Metadata
    spec: IPAddressPoolSpec = IPAddressPoolSpec()
