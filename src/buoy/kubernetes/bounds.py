# SPDX-License-Identifier: Apache-2.0
"""What no type says of a field, for the API server: ranges, sizes, and fields that exclude each other.

Promises what `model/validate_rules.py` does, in the words of a CRD; it is the same
list a second time, for the API server runs no Python.
"""

from typing import Any, TypeAlias

import msgspec

from buoy.kubernetes.foreign import (
    BGPConfigurationSpec,
    BGPFilterRule,
    BGPPeerSpec,
    Block,
    Community,
    IPAddressPoolSpec,
    MatchExpression,
    PrefixAdvertisement,
    PrefixLength,
    SecretKey,
)
from buoy.model.node import Node
from buoy.model.peer import Bfd, BGPSettings, Filter, FilterRule, Peer, Tagged
from buoy.model.pool import Expression, Pool, Range
from buoy.model.service_ip import PortMapping, ServiceIP
from buoy.model.status import AddressStatus

_PORT = {"minimum": 1, "maximum": 65535}
_ASN = {"minimum": 1, "maximum": 4294967295}
_SECONDS = {"minimum": 0, "maximum": 31536000}
_OCTET = {"minimum": 0, "maximum": 255}
_HOLD = {"minimum": 0, "maximum": 65535}

Struct: TypeAlias = type[msgspec.Struct]


def _rule(rule: str, message: str) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


_DURATION = {"maxLength": 32, "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?$"}
_AS_NUMBER = _rule(
    "type(self) == int ? self >= 1 && self <= 4294967295 : "
    r"string(self).matches('^([1-9][0-9]{0,9}|[0-9]{1,5}\\.[0-9]{1,5})$')",
    "give an AS number, such as 64512 or 1.10",
)
_COMMUNITY = {"type": "string", "maxLength": 32, "pattern": "^(0|[1-9][0-9]*)(:(0|[1-9][0-9]*)){1,2}$"}
_SECRET_FILE = {"maxLength": 507, "pattern": "^(([A-Za-z0-9_-][A-Za-z0-9._-]*/)?[A-Za-z0-9_-][A-Za-z0-9._-]*)?$"}
_BLOCK = {
    "maxLength": 49,
    **_rule("isCIDR(self) || isIP(self)", "give a network, such as 192.0.2.0/24 or 2001:db8::/64"),
}
_SELECTOR = {"maxLength": 1024}

_UNICAST = "give a unicast address that can be routed"
_ADDRESS = {
    "x-kubernetes-validations": [
        {"rule": "isIP(self) && ip.isCanonical(self)", "message": "give one address, such as 192.0.2.7 or 2001:db8::7"},
        {"rule": "!isIP(self) || ip(self).isGlobalUnicast()", "message": _UNICAST},
    ]
}

BOUNDS: dict[tuple[Struct, str], dict[str, Any]] = {
    (Peer, "asn"): _ASN,
    (Peer, "local_asn"): _ASN,
    (Peer, "port"): _PORT,
    (Peer, "hold_time"): _HOLD,
    (Peer, "keepalive"): _HOLD,
    (Peer, "multihop"): {"minimum": 1, "maximum": 255},
    (Peer, "allow_local_as"): _OCTET,
    (Bfd, "interval"): {"minimum": 10, "maximum": 60000},
    (Bfd, "multiplier"): {"minimum": 1, "maximum": 255},
    (BGPSettings, "asn"): _ASN,
    (BGPSettings, "listen_port"): _PORT,
    (BGPSettings, "hold_time"): _HOLD,
    (Tagged, "communities"): {"items": _COMMUNITY},
    (Peer, "password_from"): _SECRET_FILE,
    (BGPSettings, "password_from"): _SECRET_FILE,
    (SecretKey, "name"): {"maxLength": 253, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
    (SecretKey, "key"): {"maxLength": 253, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"},
    (Community, "name"): {"maxLength": 128, "pattern": "^[A-Za-z0-9_.-]+$"},
    (Community, "value"): {"maxLength": 32, "pattern": "^[0-9]+(:[0-9]+){1,2}$"},
    (PrefixAdvertisement, "cidr"): _BLOCK,
    (PrefixAdvertisement, "communities"): {
        "items": {"type": "string", "maxLength": 128, "pattern": "^([A-Za-z0-9_.-]+|[0-9]+(:[0-9]+){1,2})$"}
    },
    (FilterRule, "low"): {"minimum": 0, "maximum": 128},
    (FilterRule, "high"): {"minimum": 0, "maximum": 128},
    (ServiceIP, "address"): _ADDRESS,
    (Range, "first"): _ADDRESS,
    (Range, "last"): _ADDRESS,
    (AddressStatus, "node"): {"maxLength": 253},
    (Pool, "hold_down"): _SECONDS,
    (Pool, "remember"): _SECONDS,
    (Pool, "quota"): {"minimum": 0},
    (PortMapping, "protocol"): {"enum": ["sctp", "tcp", "udp"]},
    (PortMapping, "first"): _PORT,
    (PortMapping, "last"): _PORT,
    (PortMapping, "target_first"): _PORT,
    (Block, "cidr"): _BLOCK,
    (BGPConfigurationSpec, "as_number"): _AS_NUMBER,
    (BGPConfigurationSpec, "listen_port"): _PORT,
    (BGPConfigurationSpec, "service_load_balancer_aggregation"): {"enum": ["Enabled", "Disabled"]},
    (BGPConfigurationSpec, "node_mesh_max_restart_time"): _DURATION,
    (BGPPeerSpec, "as_number"): _AS_NUMBER,
    (BGPPeerSpec, "local_as_number"): _AS_NUMBER,
    (BGPPeerSpec, "keepalive_time"): _DURATION,
    (BGPPeerSpec, "max_restart_time"): _DURATION,
    (BGPPeerSpec, "failure_detection_mode"): {"enum": ["None", "BFDIfDirectlyConnected"]},
    (BGPPeerSpec, "num_allowed_local_as_numbers"): _OCTET,
    (BGPPeerSpec, "ttl_security"): _OCTET,
    (BGPPeerSpec, "next_hop_mode"): {"enum": ["Auto", "Self", "Keep"]},
    (BGPPeerSpec, "source_address"): {"enum": ["UseNodeIP", "None"]},
    (BGPPeerSpec, "peer_ip"): {
        "maxLength": 64,
        **_rule(
            r"isIP(self) || self.matches('^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$')",
            "give an address, perhaps with a port: 192.0.2.1, 192.0.2.1:1179 or [2001:db8::1]:1179",
        ),
    },
    (BGPFilterRule, "action"): {"enum": ["Accept", "Reject"]},
    (BGPFilterRule, "match_operator"): {"enum": ["Equal", "NotEqual", "In", "NotIn"]},
    (BGPFilterRule, "cidr"): {"maxLength": 49, **_rule("isCIDR(self)", "give a network, such as 192.0.2.0/24")},
    (PrefixLength, "min"): {"minimum": 0, "maximum": 128},
    (PrefixLength, "max"): {"minimum": 0, "maximum": 128},
    (MatchExpression, "operator"): {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
    (IPAddressPoolSpec, "addresses"): {
        "minItems": 1,
        "items": {
            "type": "string",
            "maxLength": 96,
            **_rule(
                "isCIDR(self) || (self.split('-').size() == 2 && self.split('-').all(t, isIP(t.trim())))",
                "give a network such as 192.0.2.0/24, or a range such as 192.0.2.1-192.0.2.9",
            ),
        },
    },
}
"""More of the schema of a field, by the model's struct and the field's name."""

ITEMS: dict[tuple[Struct, str], int] = {
    (ServiceIP, "endpoints"): 1024,
    (Node, "sessions"): 4096,
    (Node, "problems"): 4096,
    (Filter, "rules"): 1024,
    (Peer, "nodes"): 5000,
    (Expression, "values"): 256,
}
"""How many items a list may have where 128 is too few."""

_SAME_FAMILY = "isIP(self.first) && isIP(self.last) && ip(self.first).family() == ip(self.last).family()"

_ONE_PASSWORD = (
    (
        "!has(self.password) || self.password == '' || !has(self.passwordFrom) || self.passwordFrom == ''",
        "give password or passwordFrom, not both",
    ),
)

RULES: dict[Struct, tuple[tuple[str, str], ...]] = {
    Range: ((_SAME_FAMILY, "give two addresses of one family"),),
    FilterRule: (("!has(self.low) || !has(self.high) || self.low <= self.high", "low must not be greater than high"),),
    Expression: (
        (
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values)",
            "give values with In and NotIn, and only with them",
        ),
    ),
    Peer: _ONE_PASSWORD,
    BGPSettings: _ONE_PASSWORD,
    PortMapping: (("self.first <= self.last", "first must not be greater than last"),),
    Pool: (
        (
            "!has(self.prefixes) || self.prefixes.all(p, !isCIDR(p) || cidr(p).ip().isGlobalUnicast())",
            "give prefixes of unicast addresses that can be routed",
        ),
        (
            "(has(self.prefixes) && size(self.prefixes) > 0) || (has(self.ranges) && size(self.ranges) > 0)",
            "give addresses: prefixes, ranges or both",
        ),
    ),
    BGPPeerSpec: (
        (
            "!(has(self.node) && self.node != '' && has(self.nodeSelector) && self.nodeSelector != '')",
            "give node or nodeSelector, not both",
        ),
        (
            "(has(self.peerIP) && self.peerIP != '') != (has(self.peerSelector) && self.peerSelector != '')",
            "give either peerIP or peerSelector",
        ),
        (
            "!has(self.peerIP) || self.peerIP == '' || has(self.asNumber)",
            "give asNumber, the AS number of the neighbour",
        ),
    ),
}
"""CEL rules of a struct, each with what to do."""
