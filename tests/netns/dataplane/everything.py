# SPDX-License-Identifier: Apache-2.0
"""One entry of every kind that stands in the nft table."""

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Combination,
    Dnat,
    Egress,
    Entry,
    GroupMember,
    GroupRules,
    Internal,
    Key,
    Mapping,
    PortGuard,
    Relay,
    Stray,
    Table,
)

MAC, OTHER = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
RULES = (
    Rule(side=Side.INGRESS, family=4, protocol=6, first=80, last=90, prefix=Prefix("198.51.100.0/24")),
    Rule(side=Side.EGRESS, family=6, group="g2"),
    Rule(side=Side.INGRESS, family=6, protocol=58, first=128, last=0),
    Rule(side=Side.INGRESS, family=4, protocol=1, first=8),
    Rule(side=Side.INGRESS, family=4, protocol=112),
    Rule(side=Side.EGRESS, family=4, protocol=132, first=7),
)
EVERYTHING: dict[Key, Entry] = {
    Key(Table.GROUP, ("g1",)): GroupRules(RULES),
    Key(Table.GROUP, ("g 2/ä_",)): GroupRules(()),
    Key(Table.COMBINATION, ("c1",)): Combination(("g1", "g 2/ä_")),
    Key(Table.COMBINATION, ("none",)): Combination(()),
    Key(Table.MEMBER, ("g2", "198.51.100.7/32")): GroupMember(),
    Key(Table.MEMBER, ("g2", "2001:db8::7/128")): GroupMember(),
    Key(Table.MEMBER, ("g2", "198.51.100.0/25")): GroupMember(),
    Key(Table.MEMBER, ("g2", "2001:db8::/64")): GroupMember(),
    Key(Table.GUARD, ("tap1",)): PortGuard(
        "c1",
        (
            (MAC, Prefix("192.0.2.0/26")),
            (MAC, Prefix("192.0.2.1/32")),
            (MAC, Prefix("2001:db8:2::/64")),
            (MAC, Prefix("2001:db8:2::1/128")),
            (OTHER, Prefix("192.0.2.0/26")),
        ),
    ),
    Key(Table.GUARD, ("tap2",)): PortGuard(None, ()),
    Key(Table.GUARD, ("tap3",)): PortGuard("none", ((MAC, Prefix("0.0.0.0/0")), (MAC, Prefix("::/0")))),
    Key(Table.INTERNAL, ("192.0.2.0/25",)): Internal(),
    Key(Table.INTERNAL, ("192.0.2.128/25",)): Internal(),
    Key(Table.INTERNAL, ("2001:db8:2::/48",)): Internal(),
    Key(Table.INTERNAL, ("240.0.0.0/4",)): Internal(),
    Key(Table.RELAY, ("203.0.113.1", "192.0.2.9")): Relay(),
    Key(Table.RELAY, ("2001:db8:113::1", "2001:db8:2::9")): Relay(),
    Key(Table.MAPPING, ("203.0.113.1", "tcp", "80")): Mapping(Address("192.0.2.1"), 8080),
    Key(Table.MAPPING, ("2001:db8:113::1", "udp", "53")): Mapping(Address("2001:db8:2::1"), 5353),
    Key(Table.DNAT, ("203.0.113.2",)): Dnat(Address("192.0.2.1")),
    Key(Table.DNAT, ("2001:db8:113::2",)): Dnat(Address("2001:db8:2::1")),
    Key(Table.EGRESS, ("192.0.2.1",)): Egress(Address("203.0.113.2")),
    Key(Table.EGRESS, ("2001:db8:2::1",)): Egress(Address("2001:db8:113::2")),
    Key(Table.STRAY, ("203.0.113.0/24",)): Stray(),
    Key(Table.STRAY, ("198.18.0.0/15",)): Stray(),
    Key(Table.STRAY, ("203.0.113.5/32",)): Stray(),
    Key(Table.STRAY, ("2001:db8:113::/48",)): Stray(),
    Key(Table.STRAY, ("2001:db8:113::5/128",)): Stray(),
}
