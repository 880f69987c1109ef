# SPDX-License-Identifier: Apache-2.0
"""What a test attaches to a fake host; implements `Attached`. All is routed until the test cuts it off."""

from collections.abc import Collection

from buoy.model.address import Address


class FakeAttached:
    """`cut` are the addresses to which there is no route, `followed` those that are looked at."""

    def __init__(self) -> None:
        self.cut: frozenset[Address] = frozenset()
        self.followed: frozenset[Address] = frozenset()
        self._told: frozenset[Address] = frozenset()

    def follow(self, addresses: Collection[Address]) -> None:
        """See `Attached.follow`."""
        come = frozenset(addresses) - self.followed
        self.followed = frozenset(addresses)
        self._told = (self._told | self.cut & come) & self.followed

    def unrouted(self) -> frozenset[Address]:
        """See `Attached.unrouted`."""
        return self._told

    def news(self) -> frozenset[Address]:
        """Return the followed addresses that were cut off or joined again since the last call."""
        before, self._told = self._told, self.cut & self.followed
        return before ^ self._told
