# SPDX-License-Identifier: Apache-2.0
"""How the foreign kinds look in `kubectl`, for clusters that have no Calico or MetalLB of their own.

Promises that a manifest for Calico or MetalLB is taken as it is, if its values can be;
a field that neither knows is refused by `kubectl apply`, as theirs do.
"""

from typing import NamedTuple

import msgspec

from buoy.kubernetes.definitions import AGE, IN_FORCE, MESSAGE, Column, Look
from buoy.kubernetes.foreign import BGPConfigurationSpec, BGPFilterSpec, BGPPeerSpec, IPAddressPoolSpec
from buoy.kubernetes.resources import ADDRESS_POOLS, BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS
from buoy.store.api_names import Resource


class Foreign(NamedTuple):
    """One foreign kind."""

    resource: Resource
    kind: str
    spec: type[msgspec.Struct]
    says: str
    look: Look


FOREIGN: tuple[Foreign, ...] = (
    Foreign(
        BGP_CONFIGURATIONS,
        "BGPConfiguration",
        BGPConfigurationSpec,
        "The cluster's BGP, as Calico has it; Buoy reads the one named default.",
        Look(
            "bgpconfiguration",
            ("bgpconfig", "bgpconfigs"),
            (Column("ASN", ".spec.asNumber"), Column("Mesh", ".spec.nodeToNodeMeshEnabled"), IN_FORCE, MESSAGE, AGE),
            status=True,
        ),
    ),
    Foreign(
        BGP_PEERS,
        "BGPPeer",
        BGPPeerSpec,
        "A BGP neighbour of all nodes, of one, or of those a selector matches, as Calico has it.",
        Look(
            "bgppeer",
            (),
            (Column("Peer", ".spec.peerIP"), Column("ASN", ".spec.asNumber"), IN_FORCE, MESSAGE, AGE),
            status=True,
        ),
    ),
    Foreign(
        BGP_FILTERS,
        "BGPFilter",
        BGPFilterSpec,
        "Which routes are told to peers and taken from them, as Calico has it.",
        Look("bgpfilter", (), (IN_FORCE, MESSAGE, AGE), status=True),
    ),
    Foreign(
        ADDRESS_POOLS,
        "IPAddressPool",
        IPAddressPoolSpec,
        "Addresses for Services, as MetalLB has it.",
        Look(
            "ipaddresspool",
            (),
            (
                Column("Auto Assign", ".spec.autoAssign", "boolean"),
                Column("Avoid Buggy IPs", ".spec.avoidBuggyIPs", "boolean"),
                Column("Addresses", ".spec.addresses"),
                AGE,
            ),
            status=True,
        ),
    ),
)
"""Every foreign kind."""
