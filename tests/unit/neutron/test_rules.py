# SPDX-License-Identifier: Apache-2.0
"""Security group rules in numbers."""

from typing import Any

import pytest

from buoy.model.address import Prefix
from buoy.model.errors import InvalidInput
from buoy.model.group import Rule, Side
from buoy.neutron.rules import translate_rule


def row(**attributes: object) -> dict[str, Any]:
    """A rule as the API shows it: ingress, IPv4, anything."""
    return {"direction": "ingress", "ethertype": "IPv4"} | attributes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Rule(side=Side.INGRESS, family=4)),
        ({"direction": "egress", "ethertype": "IPv6"}, Rule(side=Side.EGRESS, family=6)),
        ({"protocol": "any"}, Rule(side=Side.INGRESS, family=4)),
        ({"protocol": "0"}, Rule(side=Side.INGRESS, family=4)),
        ({"protocol": "hopopt"}, Rule(side=Side.INGRESS, family=4, protocol=0)),
        ({"protocol": "TCP"}, Rule(side=Side.INGRESS, family=4, protocol=6)),
        ({"protocol": "132"}, Rule(side=Side.INGRESS, family=4, protocol=132)),
        ({"protocol": "vrrp"}, Rule(side=Side.INGRESS, family=4, protocol=112)),
        ({"protocol": "icmp"}, Rule(side=Side.INGRESS, family=4, protocol=1)),
        ({"protocol": "icmp", "ethertype": "IPv6"}, Rule(side=Side.INGRESS, family=6, protocol=58)),
        ({"protocol": "icmpv6", "ethertype": "IPv6"}, Rule(side=Side.INGRESS, family=6, protocol=58)),
        (
            {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
            Rule(side=Side.INGRESS, family=4, protocol=1, first=8, last=0),
        ),
        (
            {"protocol": "udp", "port_range_min": 1, "port_range_max": 65535},
            Rule(side=Side.INGRESS, family=4, protocol=17, first=1, last=65535),
        ),
        ({"remote_ip_prefix": "192.0.2.9/24"}, Rule(side=Side.INGRESS, family=4, prefix=Prefix("192.0.2.0/24"))),
        ({"remote_ip_prefix": "0.0.0.0/0"}, Rule(side=Side.INGRESS, family=4)),
        ({"remote_group_id": "g"}, Rule(side=Side.INGRESS, family=4, group="g")),
        ({"remote_address_group_id": "a"}, Rule(side=Side.INGRESS, family=4, group="a")),
    ],
)
def test_a_rule_means(given: dict[str, Any], expected: Rule) -> None:
    assert expected == translate_rule(row(**given))


@pytest.mark.parametrize("given", [{"protocol": "carrier-pigeon"}, {"ethertype": "ARP"}])
def test_an_unknown_word_is_never_a_wider_rule(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        translate_rule(row(**given))
