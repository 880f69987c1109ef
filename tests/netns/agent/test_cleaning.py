# SPDX-License-Identifier: Apache-2.0
"""What `buoy agent cleanup` would remove is asked without a trace."""

import os
from collections.abc import Iterator

import pytest

from buoy.agent.host import clean
from buoy.runtime.settings import Settings
from tests.netns.dataplane.place import Place, entered, remove_all

LOOKS = (
    ("nft", "list", "ruleset"),
    ("ip", "rule"),
    ("ip", "route", "show", "table", "all"),
    ("sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"),
)


@pytest.fixture
def place() -> Iterator[Place]:
    prefix = f"cln{os.getpid()}"
    try:
        yield Place(f"{prefix}-node")
    finally:
        remove_all(prefix)


@pytest.mark.parametrize("before", ["", "add table inet buoy; add set inet buoy m4-left { type ipv4_addr; }"])
def test_to_ask_what_would_be_removed_changes_nothing(place: Place, before: str) -> None:
    if before:
        place.exec("nft", before)
    place.exec("sysctl", "-qw", "net.ipv4.ip_forward=0")
    seen = [place.exec(*look) for look in LOOKS]
    with entered(place.path):
        assert "table inet buoy" in list(clean(Settings(node="compute-1"), act=False))
    assert seen == [place.exec(*look) for look in LOOKS]
