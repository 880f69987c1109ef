# SPDX-License-Identifier: Apache-2.0
"""What one node holds: desired and observed state are both a `NodeState`.

A flat mapping from key to entry, so that comparing, guarding, verifying and
faking are each one short function for every kind of entry. A key says what an
entry is *for*; the entry says what it is. Equal entries need no change.

Desired state of a node, by table:

=============  =========================================  ===================
table          key                                        entry
=============  =========================================  ===================
GROUP          group id                                   `GroupRules`
MEMBER         group id, prefix                           `GroupMember`
COMBINATION    combination id                             `Combination`
GUARD          interface                                  `PortGuard`
LINK           interface                                  `LinkSettings`
NEIGHBOUR      interface, address                         `Neighbour`
ROUTE          prefix                                     `Route`
INTERNAL       prefix                                     `Internal`
DNAT           address                                    `Dnat`
MAPPING        address, protocol, port                    `Mapping`
EGRESS         fixed address                              `Egress`
RELAY          address, fixed address                     `Relay`
DHCP           interface                                  `GuestConfig`
DISCARD        prefix                                     `Discard`
STRAY          prefix                                     `Stray`
ANNOUNCEMENT   prefix                                     `Announcement`
=============  =========================================  ===================
"""

import enum
from collections.abc import Mapping as MappingABC
from typing import NamedTuple, TypeAlias

import msgspec

from buoy.model.address import Address, Mac, Prefix
from buoy.model.group import Rule
from buoy.model.guest import GuestConfig


class Table(enum.IntEnum):
    """Kinds of entries, in the order in which they are built; swept in the reverse order.

    Announcements have phases of their own, wherever they stand here. The numbers are kept on disk.
    """

    GROUP = 1
    MEMBER = 2
    COMBINATION = 3
    GUARD = 4
    LINK = 5
    NEIGHBOUR = 6
    ROUTE = 7
    INTERNAL = 8
    RELAY = 9
    MAPPING = 10
    DNAT = 11
    EGRESS = 12
    DHCP = 13
    DISCARD = 14
    ANNOUNCEMENT = 15
    STRAY = 16


class Key(NamedTuple):
    """What an entry is for; `name` identifies it within its table."""

    table: Table
    name: tuple[str, ...]


class GroupRules(msgspec.Struct, frozen=True):
    """The chains of one group, one per side, programmed before any interface uses them."""

    rules: tuple[Rule, ...]


class GroupMember(msgspec.Struct, frozen=True):
    """One element of a group's set; presence is all it says."""


class Combination(msgspec.Struct, frozen=True):
    """The groups one or more interfaces have in common, sorted; a chain that jumps to each of them."""

    groups: tuple[str, ...]


class PortGuard(msgspec.Struct, frozen=True):
    """Policy of one interface: its combination (None: port security is off) and what it may send from."""

    combination: str | None
    sources: tuple[tuple[Mac, Prefix], ...]


class LinkSettings(msgspec.Struct, frozen=True):
    """An interface of ours has the sysctls that forwarding needs; not `complete`: only some, as after a kill."""

    complete: bool = True


class Neighbour(msgspec.Struct, frozen=True):
    """A permanent neighbour entry: this address is at this MAC, nobody needs to be asked."""

    mac: Mac


class Route(msgspec.Struct, frozen=True):
    """A device route in table main.

    Only ever seen: `hidden_by` is another's route, which the kernel takes instead, `bypassed_by` another's rule, by
    which it does not come to table main.
    """

    interface: str
    hidden_by: str = ""
    bypassed_by: str = ""


class Internal(msgspec.Struct, frozen=True):
    """Destinations inside this prefix see fixed addresses."""


class Relay(msgspec.Struct, frozen=True):
    """A mapped endpoint on another node: replies must come back through this node, so its source becomes ours."""


class Mapping(msgspec.Struct, frozen=True):
    """One port of a service IP goes to one port of a fixed address."""

    target: Address
    port: int


class Dnat(msgspec.Struct, frozen=True):
    """Every packet to the service IP goes to the fixed address."""

    target: Address


class Egress(msgspec.Struct, frozen=True):
    """Connections from the fixed address to the outside leave with the service IP."""

    address: Address


class Discard(msgspec.Struct, frozen=True):
    """A blackhole for a pool this node originates, so that unbound addresses do not loop."""


class Stray(msgspec.Struct, frozen=True):
    """What comes for this prefix, was translated by nobody and would leave as it came, is dropped: it would loop.

    No blackhole, for that would also stop what the node itself sends before its service proxy sees it, and
    what guests of this node send to addresses of the prefix that are served elsewhere.
    """


class Class(enum.IntEnum):
    """Preference of an announcement; the value is the metric of the route BIRD learns, the lowest is preferred.

    TAKEOVER is for an address that another node should serve no more and has not said to have withdrawn.
    """

    TAKEOVER = 50
    NORMAL = 100
    DRAIN = 200
    STANDBY = 300


class Announcement(msgspec.Struct, frozen=True):
    """A prefix told to the peers; `interface` is the tap it dies with, None for an unreachable route."""

    interface: str | None
    preference: Class = Class.NORMAL


Entry: TypeAlias = (
    GroupRules
    | GroupMember
    | Combination
    | PortGuard
    | LinkSettings
    | Neighbour
    | Route
    | Internal
    | Relay
    | Mapping
    | Dnat
    | Egress
    | GuestConfig
    | Discard
    | Stray
    | Announcement
)

NodeState: TypeAlias = MappingABC[Key, Entry]


class Link(msgspec.Struct, frozen=True):
    """An interface as the kernel shows it: an input of planning, never a wish."""

    name: str
    index: int
    up: bool


class Change(msgspec.Struct, frozen=True):
    """One entry that is to differ: `before` None adds, `after` None removes."""

    key: Key
    before: Entry | None
    after: Entry | None

    @property
    def reverse(self) -> "Change":
        """The change that undoes this one."""
        return Change(self.key, self.after, self.before)


class Phase(enum.IntEnum):
    """The only ordering in Buoy; see `planner/plan.py` for the promise it keeps."""

    WITHDRAW = 1
    BUILD = 2
    FLUSH_NEW = 3
    ANNOUNCE = 4
    SWEEP = 5
    FLUSH_OLD = 6


class Flush(msgspec.Struct, frozen=True):
    """End the tracked connections of these addresses, so that the next packet meets the new NAT and policy.

    Of `connectionless` addresses end only those without a handshake, whose next packet begins a flow as any would;
    of `unanswered` ones those that they began and that nobody has answered yet. `service_ips` are those `addresses`
    that nothing is translated *to*, and that are no guest's whose own is translated: before a change is announced
    those connections end that were begun by or to them, after it those that were begun to them or left with them.
    """

    addresses: tuple[Address, ...] = ()
    connectionless: tuple[Address, ...] = ()
    unanswered: tuple[Address, ...] = ()
    service_ips: tuple[Address, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.connectionless or self.unanswered)


class Step(msgspec.Struct, frozen=True):
    """One act of a plan."""

    phase: Phase
    act: Change | Flush


class Failure(msgspec.Struct, frozen=True):
    """A step the host refused, and what it said."""

    step: Step
    error: str
