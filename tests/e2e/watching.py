# SPDX-License-Identifier: Apache-2.0
"""What happens meanwhile: route events of a machine, and packets that are lost."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.e2e.cloud import Machines, eventually
from tests.e2e.talking import Said, running

_MARK = "table 77"


@contextmanager
def route_events(cloud: Machines, machine: str, addresses: Sequence[str]) -> Iterator[list[str]]:
    """Collect what a machine's kernel tells of routes to these addresses, in any table, while the block lasts."""
    found: list[str] = []
    with running(cloud, machine, "sh", "-c", "ip -o monitor route & cat > /dev/null; kill $!") as said:
        _mark(cloud, machine, said)
        yield found
        # the kernel tells in order: with this mark everything of before has been told
        _mark(cloud, machine, said)
        found += [line for line in said if any(_names(line, address) for address in addresses)]


@contextmanager
def no_packet_lost(cloud: Machines, machine: str, addresses: Sequence[str]) -> Iterator[None]:
    """Ping each address twenty times a second while the block lasts, and demand that no reply is missing."""
    script = 'for a; do ping -n -i 0.05 $a & p="$p $!"; done; cat > /dev/null; kill -INT $p; wait'
    with running(cloud, machine, "sh", "-c", script, "sh", *addresses) as said:
        eventually(lambda: all(_replies(said, address) for address in addresses))
        yield
        reached = {address: max(_replies(said, address)) for address in addresses}
        # the last requests of before have been answered, or never will be
        eventually(lambda: all(max(_replies(said, address)) > reached[address] for address in addresses), seconds=5)
    told = {address: _replies(said, address) for address in addresses}
    lost = {address: sorted(set(range(1, max(replies))) - replies) for address, replies in told.items()}
    assert {address: [] for address in addresses} == lost, f"no reply to these: {lost}"


def _mark(cloud: Machines, machine: str, said: Said) -> None:
    """Make an event that is nobody's, and wait until it is told."""
    before = sum(_MARK in line for line in said)

    def told() -> bool:
        cloud.on(machine, "ip", "route", "replace", "blackhole", "192.0.2.255", "table", "77")
        cloud.on(machine, "ip", "route", "del", "192.0.2.255", "table", "77")
        return sum(_MARK in line for line in said) > before

    eventually(told)


def _names(line: str, address: str) -> bool:
    return address in re.split(r"[\s/]+", line)


def _replies(said: Sequence[str], address: str) -> set[int]:
    """Return the sequence numbers of the replies from an address."""
    found = (re.search(rf"from {re.escape(address)}: icmp_seq=(\d+) ", line) for line in list(said))
    return {int(match[1]) for match in found if match}
