# SPDX-License-Identifier: Apache-2.0
"""The interfaces of a fake host towards its peers; implements `Uplinks`. All forward until the test turns one off."""

from collections.abc import Collection

from buoy.model.address import Address


class FakeUplinks:
    """`off` are the names of those that forward no IPv4, `peers` those that were followed last."""

    def __init__(self) -> None:
        self.off: tuple[str, ...] = ()
        self.peers: frozenset[Address] = frozenset()

    def follow(self, peers: Collection[Address]) -> None:
        """See `Uplinks.follow`."""
        self.peers = frozenset(peers)

    def closed(self) -> tuple[str, ...]:
        """See `Uplinks.closed`."""
        return self.off
