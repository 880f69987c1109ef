# SPDX-License-Identifier: Apache-2.0
"""A node with guests and an outside: what the planner would wish, written by hand."""

from collections.abc import Iterable, Mapping, Sequence

from buoy.dataplane.driver import Driver
from buoy.dataplane.host import LinuxHost
from buoy.model.address import Address, Mac, Prefix, family, host_prefix
from buoy.model.group import Rule, Side
from buoy.model.nodestate import (
    Announcement,
    Change,
    Combination,
    Dnat,
    Egress,
    Entry,
    Failure,
    GroupRules,
    Internal,
    Key,
    LinkSettings,
    Neighbour,
    NodeState,
    Phase,
    PortGuard,
    Route,
    Step,
    Table,
)
from tests.netns.dataplane.place import Place, entered

OUTSIDE, OUTSIDE6 = "198.51.100.10", "2001:db8:51::10"
NODE = "198.51.100.1"
ALLOW_ALL = tuple(Rule(side=side, family=version) for side in Side for version in (4, 6))


class NoDhcp:
    """A DHCP driver with nothing to do."""

    def observe(self, keys: object) -> NodeState:
        return {}

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        return []


class Guest:
    """A VM: a namespace with one interface, whose other end on the node is its tap."""

    def __init__(self, place: Place, number: int) -> None:
        self.place = place
        self.tap = f"tap{number}"
        self.mac = Mac(f"fa:16:3e:00:00:{number:02x}")
        self.address = Address(f"192.0.2.{number}")
        self.address6 = Address(f"2001:db8:2::{number:x}")

    def wishes(self, combination: str | None = "all") -> dict[Key, Entry]:
        """Return what makes the fixed addresses of this guest work."""
        both = (self.address, self.address6)
        sources = tuple(sorted((self.mac, host_prefix(address)) for address in both))
        wishes: dict[Key, Entry] = {
            Key(Table.GUARD, (self.tap,)): PortGuard(combination, sources),
            Key(Table.LINK, (self.tap,)): LinkSettings(),
        }
        for address in both:
            wishes[Key(Table.NEIGHBOUR, (self.tap, address))] = Neighbour(self.mac)
            wishes[Key(Table.ROUTE, (host_prefix(address),))] = Route(self.tap)
            wishes[Key(Table.ANNOUNCEMENT, (host_prefix(address),))] = Announcement(self.tap)
        return wishes

    def floating(self, service: str, *, egress: bool = True) -> dict[Key, Entry]:
        """Return what makes a floating IP of this guest work."""
        address = Address(service)
        target = self.address if family(address) == 4 else self.address6
        wishes: dict[Key, Entry] = {
            Key(Table.DNAT, (address,)): Dnat(target),
            Key(Table.ANNOUNCEMENT, (host_prefix(address),)): Announcement(self.tap),
        }
        if egress:
            wishes[Key(Table.EGRESS, (target,))] = Egress(address)
        return wishes


class World:
    """One node with a host, an outside, and guests made on demand."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.node, self.outside = Place(f"{prefix}node"), Place(f"{prefix}out")
        self._places = [self.node, self.outside]
        self._connect_outside()
        self._inside = entered(self.node.path)
        self._inside.__enter__()
        self.host = self.fresh_host()

    def fresh_host(self, dhcp: Driver | None = None, foreign: Iterable[str] = ()) -> LinuxHost:
        """Return a host that remembers nothing, as after a restart."""
        return LinuxHost(dhcp or NoDhcp(), foreign=foreign)

    def close(self) -> None:
        self.host.close()
        self._inside.__exit__(None, None, None)
        for place in self._places:
            place.remove()

    def _connect_outside(self) -> None:
        self.node.ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", self.outside.name)
        self.node.ip("addr", "add", f"{NODE}/24", "dev", "up0")
        self.node.ip("addr", "add", "2001:db8:51::1/64", "dev", "up0", "nodad")
        self.node.ip("link", "set", "up0", "up")
        self.outside.ip("addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
        self.outside.ip("addr", "add", f"{OUTSIDE6}/64", "dev", "eth0", "nodad")
        self.outside.ip("link", "set", "eth0", "up")
        self.outside.ip("route", "add", "default", "via", NODE)
        self.outside.ip("route", "add", "default", "via", "2001:db8:51::1")

    def guest(self, number: int) -> Guest:
        """Start a guest; nothing is wished for it yet."""
        guest = Guest(Place(f"{self._prefix}g{number}"), number)
        self._places.append(guest.place)
        names = ("peer", "name", "eth0", "netns", guest.place.name)
        self.node.ip("link", "add", guest.tap, "type", "veth", *names)
        guest.place.ip("link", "set", "eth0", "address", guest.mac, "up")
        self.node.ip("link", "set", guest.tap, "up")
        guest.place.ip("addr", "add", f"{guest.address}/24", "dev", "eth0")
        guest.place.ip("addr", "add", f"{guest.address6}/128", "dev", "eth0", "nodad")
        guest.place.ip("route", "add", "default", "via", "192.0.2.254")
        mac = self.node.exec("cat", f"/sys/class/net/{guest.tap}/address").strip()
        guest.place.ip("neigh", "add", "fe80::1", "lladdr", mac, "dev", "eth0")
        guest.place.ip("route", "add", "default", "via", "fe80::1", "dev", "eth0")
        return guest

    def wish(self, *parts: Mapping[Key, Entry]) -> list[Failure]:
        """Bring wishes about, in the order of a plan."""
        wishes = {key: entry for part in parts for key, entry in part.items()}
        observed = self.host.observe(wishes.keys())
        changes = [Change(key, observed.get(key), wishes[key]) for key in sorted(wishes)]
        return self.host.apply([Step(_phase(change), change) for change in changes if change.before != change.after])

    def unwish(self, keys: Iterable[Key]) -> list[Failure]:
        """Take wishes back, in the order of a plan."""
        observed = self.host.observe(list(keys))
        steps = [
            Step(_phase(change), change) for change in (Change(key, observed[key], None) for key in sorted(observed))
        ]
        return self.host.apply(sorted(steps, key=lambda step: step.phase))


def failed(failure: Failure) -> Key:
    """Return the key whose change was refused."""
    assert isinstance(failure.step.act, Change)
    return failure.step.act.key


def _phase(change: Change) -> Phase:
    if change.after is None:
        return Phase.WITHDRAW if change.key.table is Table.ANNOUNCEMENT else Phase.SWEEP
    return Phase.ANNOUNCE if change.key.table is Table.ANNOUNCEMENT else Phase.BUILD


def policy(rules: tuple[Rule, ...] = ALLOW_ALL, name: str = "all") -> dict[Key, Entry]:
    """Return a group and the combination that is only that group."""
    return {
        Key(Table.GROUP, (name,)): GroupRules(rules),
        Key(Table.COMBINATION, (name,)): Combination((name,)),
    }


def internal(*prefixes: str) -> dict[Key, Entry]:
    return {Key(Table.INTERNAL, (Prefix(prefix),)): Internal() for prefix in prefixes}
