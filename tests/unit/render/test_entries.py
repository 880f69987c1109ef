# SPDX-License-Identifier: Apache-2.0
"""What `buoy plan` and `buoy audit` print for an entry."""

import pytest

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule, Side
from buoy.model.guest import GuestConfig, Offer4
from buoy.model.nodestate import (
    Announcement,
    Class,
    Combination,
    Dnat,
    Entry,
    GroupMember,
    GroupRules,
    Neighbour,
    PortGuard,
)
from buoy.render.entries import entry_text

MAC = Mac("fa:16:3e:00:00:01")
OFFER = Offer4(address=Address("192.0.2.1"), subnet=Prefix("192.0.2.0/24"), server=Address("192.0.2.254"))
GUEST, OFFERED = "interface tap1, mac fa:16:3e:00:00:01", "offer4 192.0.2.1 192.0.2.0/24 192.0.2.254"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (None, "-"),
        (GroupMember(), "present"),
        (GroupRules((Rule(side=Side.INGRESS, family=4),)), "1 rules"),
        (Dnat(Address("192.0.2.1")), "target 192.0.2.1"),
        (Neighbour(MAC), "mac fa:16:3e:00:00:01"),
        (Announcement("tap1", Class.DRAIN), "interface tap1, preference drain"),
        (Announcement(None), "preference normal"),
        (Combination(("a", "b", "c", "d", "e")), "groups a + b + c and 2 more"),
        (PortGuard(None, ((MAC, Prefix("192.0.2.1/32")),)), "sources fa:16:3e:00:00:01 + 192.0.2.1/32"),
        (
            GuestConfig(interface="tap1", mac=MAC, offer4=OFFER, mtu=0),
            f"{GUEST}, mtu 0, {OFFERED}, router True, lease 3600",
        ),
    ],
)
def test_an_entry_is_one_short_line(entry: Entry | None, text: str) -> None:
    assert text == entry_text(entry)
