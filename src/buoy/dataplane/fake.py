# SPDX-License-Identifier: Apache-2.0
"""A node in memory that forwards packets: tests ask about traffic, not about calls.

Promises the contract of `driver.py` and what a kernel does beside it: entries of an
interface go with it, connections are remembered until they are flushed, a refused
step is a `Failure`. It can be told to refuse, to die in the middle of a plan, and
be damaged by another's hand.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from buoy.dataplane.driver import Afresh, Attached, Disturbance, Flows, ServiceProxy, Uplinks
from buoy.dataplane.fake_attached import FakeAttached
from buoy.dataplane.fake_packet import (
    PROXIED,
    UPLINK,
    WITH_HANDSHAKE,
    Delivered,
    Dropped,
    Packet,
    allowed,
    resolves,
    route,
    strays,
    translate,
)
from buoy.dataplane.fake_proxy import FakeProxy
from buoy.dataplane.fake_uplinks import FakeUplinks
from buoy.model.address import Address
from buoy.model.group import Side
from buoy.model.nodestate import (
    Announcement,
    Change,
    Entry,
    Failure,
    Flush,
    Key,
    Link,
    NodeState,
    Phase,
    Route,
    Step,
    Table,
)
from buoy.model.proxied import ProxyPort
from buoy.planner.plan import endangered

_OF_LINK = (Route, Announcement)


class Killed(BaseException):
    """The process died between two steps; nothing after this step was done."""


class Fake:
    """One node; implements `Host`.

    `refuse` says why the host does not want a step (None: it does it); `dies_after` is the
    number of steps until `Killed` is raised, None for never; `done` are the steps it did.
    """

    def __init__(self, refuse: Callable[[Step], str | None] = lambda _: None) -> None:
        self.refuse = refuse
        self.dies_after: int | None = None
        self.done: list[Step] = []
        self._entries: dict[Key, Entry] = {}
        self._links: dict[str, Link] = {}
        self._flows: dict[Packet, Packet] = {}
        self._replies: dict[Packet, Packet] = {}
        self._answered: set[Packet] = set()
        self._disturbed = Disturbance()
        self._secret: set[Key] = set()
        self.flows: Flows = self
        self.afresh: Afresh = self
        self.service_proxy = FakeProxy()
        self.proxy: ServiceProxy = self.service_proxy
        self.guests = FakeAttached()
        self.attached: Attached = self.guests
        self.uplinks: Uplinks = FakeUplinks()
        self.judged: list[frozenset[Address]] = []
        """The service IPs whose flows were to be judged, each time."""

    def judge(self, service_ips: Collection[Address]) -> None:
        """End, at once, the flows of these that would be translated otherwise now."""
        ours = frozenset(service_ips)
        self.judged.append(ours)
        for packet, seen in tuple(self._flows.items()):
            if not ours.isdisjoint((packet.dst, seen.src)) and self._translated(packet) != seen:
                del self._flows[packet], self._replies[_tuple(seen.reply)]

    def go_on(self) -> bool:
        """Judge no more: all was judged at once."""
        return False

    def links(self) -> Mapping[str, Link]:
        """Return every interface by name."""
        return dict(self._links)

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return the entries under these keys; None: all."""
        if keys is None:
            return dict(self._entries)
        return {key: self._entries[key] for key in keys if key in self._entries}

    def parts(self) -> Iterator[frozenset[Key]]:
        """Tell in two parts what was changed without a word."""
        for secret in (self._secret, set()):
            self._disturb(keys=frozenset(secret))
            secret.clear()
            yield frozenset()

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Do the steps in order, but none that would break the promise after a failure."""
        failures: list[Failure] = []
        for step in steps:
            if self.dies_after is not None and self.dies_after <= len(self.done):
                raise Killed
            error = "it waits for what failed before" if endangered(step, failures) else self._refusal(step)
            if error is None:
                self._do(step)
                self.done.append(step)
            else:
                failures.append(Failure(step, error))
        return failures

    def disturbances(self) -> Disturbance:
        """Return what happened to the host since the last call."""
        disturbed, self._disturbed = self._disturbed, Disturbance()
        proxied, proxy = self.service_proxy.news()
        return msgspec.structs.replace(disturbed, proxied=proxied, proxy=proxy, attached=self.guests.news())

    def set_link(self, name: str, *, up: bool = True) -> None:
        """Make an interface, or bring it up or down; down takes its routes with it."""
        index = self._links[name].index if name in self._links else len(self._links) + 2
        self._links[name] = Link(name, index, up)
        self._disturb(links=frozenset({name}))
        if not up:
            self._lose(name)

    def remove_link(self, name: str) -> None:
        """Let an interface vanish, with its routes, announcements and neighbours."""
        del self._links[name]
        self._entries.pop(Key(Table.LINK, (name,)), None)
        self._disturb(links=frozenset({name}))
        self._lose(name)

    def damage(self, key: Key, entry: Entry | None = None) -> None:
        """Change or delete an entry by another's hand."""
        self._set(key, entry)
        self._disturb(keys=frozenset({key}))

    def damage_in_secret(self, key: Key) -> None:
        """Delete an entry, of which nobody is told."""
        self._set(key, None)
        self._secret.add(key)

    def overrun(self) -> None:
        """Lose notifications."""
        self._disturb(overrun=True)

    def forward(self, packet: Packet) -> Delivered | Dropped:
        """Take a packet in and tell where it leaves; the first of a flow decides how all are translated."""
        if _tuple(packet) in self._replies:
            self._answered.add(_tuple(packet))
            return self._leave(self._replies[_tuple(packet)])
        if self.service_proxy.forwards(packet.dst, ProxyPort(packet.proto, packet.dport)):
            return Delivered(PROXIED, msgspec.structs.replace(packet, interface=PROXIED))
        if not allowed(self._entries, packet.interface, packet, Side.EGRESS):
            return Dropped(f"egress policy of {packet.interface}")
        seen = self._flows.get(_tuple(packet)) or self._translated(packet)
        outcome = self._leave(seen)
        if packet.interface == UPLINK == getattr(outcome, "interface", "") and strays(self._entries, seen.dst):
            return Dropped("astray")
        if isinstance(outcome, Delivered):
            if not allowed(self._entries, outcome.interface, seen, Side.INGRESS):
                return Dropped(f"ingress policy of {outcome.interface}")
            self._flows[_tuple(packet)] = seen
            self._replies[_tuple(seen.reply)] = packet.reply
        return outcome

    def _translated(self, packet: Packet) -> Packet:
        translation = translate(self._entries, packet)
        return Packet(translation.src, translation.dst, packet.proto, packet.sport, translation.dport)

    def _leave(self, packet: Packet) -> Delivered | Dropped:
        interface = route(self._entries, packet.dst)
        if not interface:
            return Dropped("discarded")
        if interface != UPLINK and not self._is_up(interface):
            return Dropped(f"{interface} is down")
        if not resolves(self._entries, interface, packet.dst):
            return Dropped(f"nobody at {packet.dst} on {interface}")
        return Delivered(interface, msgspec.structs.replace(packet, interface=interface))

    def _refusal(self, step: Step) -> str | None:
        """Return why a step cannot be done: the test says so, or its interface is not there."""
        interface = getattr(step.act.after, "interface", None) if isinstance(step.act, Change) else None
        if interface is not None and not self._is_up(interface) and _lives_on_link(step):
            return f"Network is down: {interface}"
        return self.refuse(step)

    def _do(self, step: Step) -> None:
        if isinstance(step.act, Change):
            self._set(step.act.key, step.act.after)
        else:
            self._flush(step.act, step.phase)

    def _flush(self, flush: Flush, phase: Phase) -> None:
        connectionless, unanswered, service_ips = map(set, (flush.connectionless, flush.unanswered, flush.service_ips))
        ended = set(flush.addresses) - service_ips
        for packet, seen in tuple(self._flows.items()):
            named = {packet.src, packet.dst, seen.src, seen.dst}
            translated = {packet.dst, packet.src if phase is Phase.FLUSH_NEW else seen.src}
            if (
                (ended & named)
                or (service_ips & translated)
                or (packet.proto not in WITH_HANDSHAKE and connectionless & named)
                or (packet.src in unanswered and _tuple(seen.reply) not in self._answered)
            ):
                del self._flows[packet]
                self._replies.pop(_tuple(seen.reply), None)

    def _set(self, key: Key, entry: Entry | None) -> None:
        if entry is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry

    def _is_up(self, name: str) -> bool:
        return name in self._links and self._links[name].up

    def _lose(self, interface: str) -> None:
        for key, entry in list(self._entries.items()):
            on_link = isinstance(entry, _OF_LINK) and entry.interface == interface
            if on_link or (key.table is Table.NEIGHBOUR and key.name[0] == interface):
                del self._entries[key]

    def _disturb(
        self, keys: frozenset[Key] = frozenset(), links: frozenset[str] = frozenset(), *, overrun: bool = False
    ) -> None:
        was = self._disturbed
        self._disturbed = Disturbance(was.keys | keys, was.links | links, was.overrun or overrun)


def _lives_on_link(step: Step) -> bool:
    return isinstance(step.act, Change) and isinstance(step.act.after, _OF_LINK)


def _tuple(packet: Packet) -> Packet:
    """Return what a connection is known by: not where its packets come in."""
    return msgspec.structs.replace(packet, interface="")
