# SPDX-License-Identifier: Apache-2.0
"""Translate security group rules: Neutron's words to numbers. Pure.

Promises: an IPv6 rule that says `icmp` means ICMPv6, as in Neutron's own
drivers; a prefix that covers everything is no prefix. Unknown words raise
`InvalidInput`, so a rule is never silently wider than it was written.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from buoy.model.address import Prefix
from buoy.model.errors import InvalidInput
from buoy.model.group import Rule, Side

ICMP = 1
ICMPV6 = 58

PROTOCOLS: Mapping[str, int] = {
    "hopopt": 0,
    "icmp": ICMP,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "egp": 8,
    "udp": 17,
    "dccp": 33,
    "ipv6-encap": 41,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": ICMPV6,
    "ipv6-icmp": ICMPV6,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ospf": 89,
    "pgm": 113,
    "vrrp": 112,
    "sctp": 132,
    "udplite": 136,
}
"""Every protocol name Neutron's API takes, with its IANA number (neutron_lib.constants.IP_PROTOCOL_MAP)."""

_ANY_WORDS = frozenset({"", "any", "ip", "0"})
"""Neutron's API reference: "any or 0" means every protocol; `hopopt` is the protocol with number 0."""
_FAMILIES = {"IPv4": 4, "IPv6": 6}


def translate_rule(row: Mapping[str, Any]) -> Rule:
    """Return the rule of an API-shaped dict; raise `InvalidInput` for what no rule can be."""
    family = _FAMILIES.get(row["ethertype"])
    if family is None:
        raise InvalidInput("ethertype", row["ethertype"], "give IPv4 or IPv6")
    protocol = protocol_number(row.get("protocol"), family)
    return Rule(
        side=Side(row["direction"]),
        family=family,
        protocol=protocol,
        first=row.get("port_range_min"),
        last=row.get("port_range_max"),
        prefix=_prefix(row.get("remote_ip_prefix")),
        group=row.get("remote_group_id") or row.get("remote_address_group_id"),
    )


def protocol_number(word: str | None, family: int) -> int | None:
    """Return the IANA number of a protocol in a rule of this family, None for any."""
    if word is None or str(word).lower() in _ANY_WORDS:
        return None
    text = str(word).lower()
    number = int(text) if text.isdigit() else PROTOCOLS.get(text)
    if number is None:
        raise InvalidInput("protocol", word, "give a name Neutron knows or a number from 0 to 255")
    return ICMPV6 if number == ICMP and family == _FAMILIES["IPv6"] else number


def _prefix(text: str | None) -> Prefix | None:
    if not text:
        return None
    # Neutron keeps what the user typed, host bits and all
    network = ipaddress.ip_network(text, strict=False)
    return None if network.prefixlen == 0 else Prefix(str(network))
