# SPDX-License-Identifier: Apache-2.0
"""MetalLB's objects besides its pools, as far as somebody who leaves MetalLB must know them.

Promises nothing to a running Buoy, which reads none of them; a field that Buoy has
nothing for is read all the same, so that it can be named.

Sources: metallb api/v1beta1, api/v1beta2.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from buoy.kubernetes.foreign import LabelSelector
from buoy.kubernetes.objects import Metadata, Texts
from buoy.store.api_names import Resource

METALLB = "metallb.io"
PEERS = Resource(METALLB, "v1beta2", "bgppeers", namespaced=True)
BFD_PROFILES = Resource(METALLB, "v1beta1", "bfdprofiles", namespaced=True)
BGP_ADVERTISEMENTS = Resource(METALLB, "v1beta1", "bgpadvertisements", namespaced=True)
L2_ADVERTISEMENTS = Resource(METALLB, "v1beta1", "l2advertisements", namespaced=True)
COMMUNITIES = Resource(METALLB, "v1beta1", "communities", namespaced=True)


class PeerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A router, in the words of v1beta2; v1beta1 calls `holdTime` so, too, and knows fewer."""

    my_asn: int = msgspec.field(default=0, name="myASN")
    peer_asn: int = msgspec.field(default=0, name="peerASN")
    dynamic_asn: str = msgspec.field(default="", name="dynamicASN")
    peer_address: str = ""
    source_address: str = ""
    peer_port: int = 0
    hold_time: str | None = None
    keepalive_time: str | None = None
    connect_time: str | None = None
    router_id: str = msgspec.field(default="", name="routerID")
    node_selectors: tuple[LabelSelector, ...] | None = None
    password: str = ""
    password_secret: Mapping[str, Any] | None = None
    bfd_profile: str = ""
    enable_graceful_restart: bool = False
    ebgp_multi_hop: bool = False
    vrf: str = ""
    interface: str = ""
    disable_mp: bool = msgspec.field(default=False, name="disableMP")
    dual_stack_address_family: bool = False


class BFDProfileSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Milliseconds, and how many of them may be silent."""

    receive_interval: int | None = None
    transmit_interval: int | None = None
    detect_multiplier: int | None = None
    echo_interval: int | None = None
    echo_mode: bool | None = None
    passive_mode: bool | None = None
    minimum_ttl: int | None = None


class BGPAdvertisementSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which pools are told to whom, and how."""

    aggregation_length: int | None = None
    aggregation_length_v6: int | None = msgspec.field(default=None, name="aggregationLengthV6")
    local_pref: int | None = None
    communities: Texts = None
    ip_address_pools: Texts = None
    ip_address_pool_selectors: tuple[LabelSelector, ...] | None = None
    node_selectors: tuple[LabelSelector, ...] | None = None
    peers: Texts = None


class L2AdvertisementSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which pools are answered for by ARP and neighbour discovery."""

    ip_address_pools: Texts = None
    ip_address_pool_selectors: tuple[LabelSelector, ...] | None = None


class CommunityName(msgspec.Struct, frozen=True, kw_only=True):
    """A name for a community, ``65535:65282`` or ``large:1:2:3``."""

    name: str
    value: str


class CommunitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Names that advertisements use."""

    communities: tuple[CommunityName, ...] | None = None


class MetalPeer(msgspec.Struct, frozen=True, kw_only=True):
    """metallb.io BGPPeer."""

    metadata: Metadata
    spec: PeerSpec = PeerSpec()


class BFDProfile(msgspec.Struct, frozen=True, kw_only=True):
    """metallb.io BFDProfile."""

    metadata: Metadata
    spec: BFDProfileSpec = BFDProfileSpec()


class BGPAdvertisement(msgspec.Struct, frozen=True, kw_only=True):
    """metallb.io BGPAdvertisement."""

    metadata: Metadata
    spec: BGPAdvertisementSpec = BGPAdvertisementSpec()


class L2Advertisement(msgspec.Struct, frozen=True, kw_only=True):
    """metallb.io L2Advertisement."""

    metadata: Metadata
    spec: L2AdvertisementSpec = L2AdvertisementSpec()


class Community(msgspec.Struct, frozen=True, kw_only=True):
    """metallb.io Community."""

    metadata: Metadata
    spec: CommunitySpec = CommunitySpec()


STRUCTS: dict[Resource, Any] = {
    PEERS: MetalPeer,
    BFD_PROFILES: BFDProfile,
    BGP_ADVERTISEMENTS: BGPAdvertisement,
    L2_ADVERTISEMENTS: L2Advertisement,
    COMMUNITIES: Community,
}
