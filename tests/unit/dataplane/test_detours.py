# SPDX-License-Identifier: Apache-2.0
"""Rules of others on a kernel that has none for IPv6, because it was booted or built without."""

import errno
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.detours import Detours


class KernelWithout:
    """Answers dumps of rules with none, and those of IPv6 as a kernel does that does not know them."""

    def __init__(self, number: int) -> None:
        self._number = number

    def dump(self, request: bytes) -> Iterator[tuple[int, bytes]]:
        if request == rtnl.rule_dump(socket.AF_INET6):
            raise netlink.Refusal(self._number, "")
        return iter(())


def test_without_rules_of_ipv6_there_are_none() -> None:
    detours = Detours(cast("netlink.Channel", KernelWithout(errno.EAFNOSUPPORT)))
    assert frozenset() == detours.reload()


def test_another_refusal_is_an_error() -> None:
    with pytest.raises(netlink.Refusal, match="EPERM"):
        Detours(cast("netlink.Channel", KernelWithout(errno.EPERM))).reload()
