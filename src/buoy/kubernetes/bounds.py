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
    BGPFilterSpec,
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
from buoy.model.proxied import Advertised
from buoy.model.service_ip import PortMapping, ServiceIP
from buoy.model.status import AddressStatus

_PORT = {"minimum": 1, "maximum": 65535}
_SECONDS = {"minimum": 0, "maximum": 31536000}
_OCTET = {"minimum": 0, "maximum": 255}
_RESTART = {"minimum": 1, "maximum": 4095}

Struct: TypeAlias = type[msgspec.Struct]


def _rule(rule: str, message: str) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


_AS_TRANS = "give an AS number other than 23456, in whose place those of four bytes are told (RFC 6793)"
_ASN = {"minimum": 1, "maximum": 4294967295, **_rule("self != 23456", _AS_TRANS)}
_HOLD = {
    "minimum": 0,
    "maximum": 65535,
    **_rule("self == 0 || self >= 3", "give 0 (never) or 3 to 65535 seconds (RFC 4271)"),
}
_DURATION = {"maxLength": 32, "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?$"}
# numbers up to 2^16 - 1 and 2^32 - 1 as patterns, which cost the server nothing
_16 = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
_32 = (
    "(429496729[0-5]|42949672[0-8][0-9]|4294967[01][0-9]{2}|429496[0-6][0-9]{3}|42949[0-5][0-9]{4}|4294[0-8][0-9]{5}"
    "|429[0-3][0-9]{6}|42[0-8][0-9]{7}|4[01][0-9]{8}|[1-3][0-9]{9}|[1-9][0-9]{0,8}|0)"
)
_AS_NUMBER = {
    "maxLength": 16,
    "x-kubernetes-validations": [
        {
            "rule": "type(self) == int ? self >= 1 && self <= 4294967295 :"
            rf" string(self).matches('^({_32}|{_16}\\.{_16})$') && !string(self).matches('^0(\\.0)?$')",
            "message": "give an AS number, such as 64512 or 1.10",
        },
        {"rule": "!(string(self) in ['23456', '0.23456'])", "message": _AS_TRANS},
    ],
}
_COMMUNITY_TEXT = f"({_16}:{_16}|{_32}:{_32}:{_32})"
_COMMUNITY = {"type": "string", "maxLength": 32, "pattern": f"^{_COMMUNITY_TEXT}$"}
_SECRET_FILE = {"maxLength": 507, "pattern": "^(([A-Za-z0-9_-][A-Za-z0-9._-]*/)?[A-Za-z0-9_-][A-Za-z0-9._-]*)?$"}
_BLOCK = {
    "maxLength": 49,
    **_rule("isCIDR(self) || isIP(self)", "give a network, such as 192.0.2.0/24 or 2001:db8::/64"),
}
_PASSWORD = {"maxLength": 80, "pattern": "^[ !#-~]*$"}

_UNICAST = "give a unicast address that can be routed"
_ADDRESS = {
    "x-kubernetes-validations": [
        {"rule": "isIP(self) && ip.isCanonical(self)", "message": "give one address, such as 192.0.2.7 or 2001:db8::7"},
        {"rule": "!isIP(self) || ip(self).isGlobalUnicast()", "message": _UNICAST},
    ]
}

_ENDPOINT = r"^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$"
_HOST = "(self.startsWith('[') ? self.substring(1, self.indexOf(']')) : self.split(':')[0])"
_PORT_OF = "int(self.substring(self.lastIndexOf(':') + 1))"
_CAN_SPEAK = "ip({0}).isGlobalUnicast()"
_NEIGHBOUR = {
    "x-kubernetes-validations": [
        _ADDRESS["x-kubernetes-validations"][0],
        {
            "rule": f"!isIP(self) || {_CAN_SPEAK.format('self')}",
            "message": "give the address of another router, which is no link-local one",
        },
    ]
}

BOUNDS: dict[tuple[Struct, str], dict[str, Any]] = {
    (Peer, "asn"): _ASN,
    (Peer, "local_asn"): _ASN,
    (Peer, "port"): _PORT,
    (Peer, "hold_time"): _HOLD,
    (Peer, "keepalive"): {"minimum": 1, "maximum": 32767},
    (Peer, "connect_retry"): {"minimum": 1, "maximum": 65535},
    (Peer, "graceful_restart_time"): _RESTART,
    (Peer, "nodes"): {"items": {"type": "string", "minLength": 1, "maxLength": 253}},
    (Peer, "multihop"): {"minimum": 1, "maximum": 255},
    (Peer, "allow_local_as"): _OCTET,
    (Bfd, "interval"): {"minimum": 10, "maximum": 60000},
    (Bfd, "multiplier"): {"minimum": 2, "maximum": 255},
    (BGPSettings, "asn"): _ASN,
    (BGPSettings, "listen_port"): _PORT,
    (BGPSettings, "hold_time"): _HOLD,
    (BGPSettings, "graceful_restart_time"): _RESTART,
    (Tagged, "communities"): {"items": _COMMUNITY},
    (Peer, "password_from"): _SECRET_FILE,
    (Peer, "password"): _PASSWORD,
    (BGPSettings, "password"): _PASSWORD,
    (BGPSettings, "password_from"): _SECRET_FILE,
    (SecretKey, "name"): {"maxLength": 253, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
    (SecretKey, "key"): {"maxLength": 253, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"},
    (Community, "name"): {"maxLength": 128, "pattern": "^[A-Za-z0-9_.-]+$"},
    (Community, "value"): _COMMUNITY,
    (PrefixAdvertisement, "cidr"): _BLOCK,
    (PrefixAdvertisement, "communities"): {
        "items": {
            "type": "string",
            "maxLength": 128,
            "pattern": f"^([A-Za-z0-9_.-]+|{_COMMUNITY_TEXT})$",
        }
    },
    (FilterRule, "low"): {"minimum": 0, "maximum": 128},
    (FilterRule, "high"): {"minimum": 0, "maximum": 128},
    (ServiceIP, "address"): _ADDRESS,
    (Range, "first"): _ADDRESS,
    (Range, "last"): _ADDRESS,
    (Peer, "address"): _NEIGHBOUR,
    (BGPSettings, "cluster_id"): {
        **_rule("isIP(self) && ip(self).family() == 4", "give one IPv4 address, such as 192.0.2.7")
    },
    (Advertised, "kinds"): {"minItems": 1},
    (AddressStatus, "node"): {"maxLength": 253},
    (Pool, "hold_down"): _SECONDS,
    (Pool, "remember"): _SECONDS,
    (Pool, "quota"): {"minimum": 0},
    (Pool, "namespaces"): {"items": {"type": "string", "minLength": 1, "maxLength": 63}},
    (Expression, "key"): {"minLength": 1, "maxLength": 317},
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
        "x-kubernetes-validations": [
            {
                "rule": f"isIP(self) || self.matches('{_ENDPOINT}') && isIP({_HOST})"
                f" && {_PORT_OF} >= 1 && {_PORT_OF} <= 65535",
                "message": "give an address, perhaps with a port: 192.0.2.1, 192.0.2.1:1179 or [2001:db8::1]:1179",
            },
            {
                "rule": f"[isIP(self) ? self : {_HOST}].all(t, !isIP(t) || {_CAN_SPEAK.format('t')})",
                "message": "give the address of another router, which is no link-local one",
            },
        ],
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

_LENGTH = "(isCIDR(self.prefix) ? cidr(self.prefix).prefixLength() : 0)"
_OF_FAMILY = "!has({0}) || {0}.all(r, !has(r.cidr) || !isCIDR(r.cidr) || cidr(r.cidr).ip().family() == {1})"
_OWN_FAMILY = (
    "!has(self.source) || !isIP(self.source) || !isIP(self.address)"
    " || ip(self.source).family() == ip(self.address).family()"
)
_SAME_FAMILY = "isIP(self.first) && isIP(self.last) && ip(self.first).family() == ip(self.last).family()"

_ONE_PASSWORD = (
    (
        "!has(self.password) || self.password == '' || !has(self.passwordFrom) || self.passwordFrom == ''",
        "give password or passwordFrom, not both",
    ),
)

RULES: dict[Struct, tuple[tuple[str, str], ...]] = {
    Range: ((_SAME_FAMILY, "give two addresses of one family"),),
    FilterRule: (
        ("!has(self.low) || !has(self.high) || self.low <= self.high", "low must not be greater than high"),
        (f"!has(self.low) || self.low >= {_LENGTH}", "low must not be shorter than the prefix"),
        (
            f"!has(self.high) || self.high >= {_LENGTH} && self.high <= (self.prefix.contains('.') ? 32 : 128)",
            "high must not be shorter than the prefix, nor longer than an address",
        ),
    ),
    PrefixLength: (("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be greater than max"),),
    BGPFilterSpec: tuple(
        (_OF_FAMILY.format(f"self.{way}V{version}", version), f"give networks of IPv{version} in {way}V{version}")
        for way in ("export", "import")
        for version in (4, 6)
    ),
    Expression: (
        (
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values)",
            "give values with In and NotIn, and only with them",
        ),
    ),
    Peer: (
        *_ONE_PASSWORD,
        (
            "!has(self.keepalive) || self.keepalive * 2 <= (has(self.holdTime) ? self.holdTime : 90)",
            "keepalive must not be greater than half of holdTime, which is 90 unless you give it",
        ),
        (
            _OWN_FAMILY,
            "give a source of the family of address",
        ),
    ),
    BGPSettings: _ONE_PASSWORD,
    PortMapping: (
        ("self.first <= self.last", "first must not be greater than last"),
        ("self.targetFirst + self.last - self.first <= 65535", "targetFirst leaves no room for so many ports"),
    ),
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
