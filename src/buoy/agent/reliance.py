# SPDX-License-Identifier: Apache-2.0
"""What a node sees of itself, put together for the planner; and which announcements of Services it relies on.

Promises that an address which is announced, by this agent or by one before it, is known
as announced to the update that decides whether it stays.

A Service that loses a port loses it in the service proxy too, and of the two news either may come first: so what is
forwarded no more, while other ports are, waits a moment for the Service to say so (`unhurried`).

The tricky thing is when to look: what is announced is followed after each pass, with what
the service proxy was seen to do when that pass was decided; the mirror does not move
in between. A new agent finds in the kernel what the former one announced.
"""

import math
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping

from buoy.agent.reconcile import Judge
from buoy.dataplane.driver import Disturbance, Host
from buoy.model.address import Address, Prefix, host_prefix, is_host, split
from buoy.model.documents import Document
from buoy.model.nodestate import Key, NodeState, Table
from buoy.model.proxied import Proxying, ProxyPort
from buoy.model.service_ip import Mode, ServiceIP
from buoy.planner.guard import freed
from buoy.planner.sight import Sight
from buoy.planner.wanted import announcement

_NOTHING = Proxying()
PATIENCE = 0.5
"""Seconds in which the store is expected to say that a port went which the service proxy forwards no more."""


class Reliance:
    """The node's sight; `fallen` are addresses whose announcement is gone though it was not to go."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ports: dict[Address, frozenset[ProxyPort]] = {}
        self._fallen: frozenset[Address] = frozenset()
        self._lacking: dict[Address, float] = {}

    def sight(self) -> Sight:
        """Return what is seen now; live."""
        proxying = self._proxying() if self._lacking else self._host.proxy.proxying()
        unrouted, proxy = self._host.attached.unrouted(), self._host.proxy
        return Sight(self._host.links(), proxy.mode(), proxying, self._ports, unrouted, proxy.families(), proxy.stuck())

    def recall(self, documents: Mapping[str, Document]) -> None:
        """Find which proxied service IPs are announced, whatever was known of that; looks at the host."""
        paths = (path for path in documents if path.startswith("service-ips/"))
        proxied = {Address(path.partition("/")[2]) for path in paths if _is_proxied(documents[path])}
        seen = self._host.observe({announcement(address) for address in proxied})
        found = {split(Prefix(key.name[0]))[0] for key in seen}
        for address in self._ports.keys() - found:
            del self._ports[address]
        self._keep(found - self._ports.keys())

    def follow(
        self,
        present: Collection[Prefix],
        gone: Collection[Prefix],
        state: NodeState,
        documents: Mapping[str, Document],
    ) -> None:
        """Hear which announcements a pass found, and which it did not; `state` is what was wanted of it."""
        hosts = (split(prefix)[0] for prefix in present if is_host(prefix))
        self._keep(address for address in hosts if _is_proxied(documents.get(f"service-ips/{address}")))
        ended = {split(prefix)[0] for prefix in gone if is_host(prefix)} & self._ports.keys()
        for address in ended:
            del self._ports[address]
        self._fallen |= {address for address in ended if announcement(address) in state}

    def unhurried(self, proxied: Collection[Address], now: float) -> frozenset[Address]:
        """Return which addresses to look at now, of these and of those that have waited long enough."""
        proxying = self._host.proxy.proxying()
        for address in proxied:
            forwarded, relied = proxying.get(address, _NOTHING).forwarded, self._ports.get(address, frozenset())
            if forwarded & relied and relied - forwarded:
                self._lacking.setdefault(address, now + PATIENCE)
            else:
                self._lacking.pop(address, None)
        over = {address for address, until in self._lacking.items() if until <= now}
        found = over | set(proxied) - self._lacking.keys()
        for address in over:
            del self._lacking[address]
        return frozenset(found)

    def wait(self, now: float) -> float:
        """Return in how many seconds `unhurried` has something to tell by itself, infinite if it has not."""
        return min(self._lacking.values(), default=math.inf) - now

    def freeing(self, judge: Judge) -> Judge:
        """Return how plans are judged where what is held is let go once the service proxy forwards it no more."""
        return lambda plan: freed(judge(plan), plan, self.sight())

    def stirred(self, held: Collection[Key], disturbance: Disturbance) -> frozenset[Key]:
        """Return which of what is held the service proxy has done something with."""
        if disturbance.proxy:
            return frozenset(held)
        prefixes = {host_prefix(address) for address in disturbance.proxied}
        return frozenset(key for key in held if key.name[0] in prefixes) if prefixes else frozenset()

    def fallen(self) -> frozenset[Address]:
        """Return whose announcement fell since the last call: to begin again takes more than to go on."""
        fallen, self._fallen = self._fallen, frozenset()
        return fallen

    def _keep(self, announced: Iterable[Address]) -> None:
        proxying = self.sight().proxying
        for address in announced:
            self._ports[address] = proxying.get(address, _NOTHING).forwarded

    def _proxying(self) -> Mapping[Address, Proxying]:
        """Return what the service proxy does, as if it still did what it may have ceased to do with good reason."""
        seen = self._host.proxy.proxying()
        patient = {address: self._before(seen.get(address, _NOTHING), address) for address in self._lacking}
        return ChainMap(patient, seen)  # type: ignore[arg-type]  # ours is never written to

    def _before(self, seen: Proxying, address: Address) -> Proxying:
        relied = self._ports.get(address, frozenset())
        return Proxying(seen.forwarded | relied, seen.refused - relied)


def announced(keys: Iterable[Key]) -> frozenset[Address]:
    """Return the addresses whose announcements are among these keys."""
    names = (Prefix(key.name[0]) for key in keys if key.table is Table.ANNOUNCEMENT)
    return frozenset(split(name)[0] for name in names if is_host(name))


def _is_proxied(document: Document | None) -> bool:
    return isinstance(document, ServiceIP) and document.mode is Mode.PROXIED
