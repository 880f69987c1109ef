# SPDX-License-Identifier: Apache-2.0
"""One Linux host: all drivers as one, in the order that keeps the promise.

Promises: phases are performed in their order, and steps of a phase in theirs; an
announcement whose forwarding or policy was refused is not made but returned as
a failure. There is no state to lose: every act is one the next process finds
in the kernel. The tricky thing: consecutive steps of one driver go to it
together, so that a plan of ten thousand is a few transactions.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

from buoy.dataplane import conntrack, sysctls
from buoy.dataplane.afresh import ReadAfresh
from buoy.dataplane.conntrack import Conntrack
from buoy.dataplane.driver import (
    Afresh,
    Attached,
    Disturbance,
    Driver,
    Flows,
    NoServiceProxy,
    ServiceProxy,
    UncheckedServiceProxy,
    Uplinks,
)
from buoy.dataplane.kernel import Kernel
from buoy.dataplane.nft import TABLES as NFT_TABLES
from buoy.dataplane.nft import Nft
from buoy.dataplane.proxy_health import ProxyHealth
from buoy.dataplane.proxy_mirror import KubeProxy
from buoy.dataplane.refused import Refused
from buoy.dataplane.stale import StaleFlows
from buoy.model.nodestate import Change, Entry, Failure, Flush, Key, Link, NodeState, Phase, Step, Table
from buoy.model.proxied import ProxyMode

_BLIND: Mapping[ProxyMode, ServiceProxy] = {
    ProxyMode.NONE: NoServiceProxy(),
    ProxyMode.UNCHECKED: UncheckedServiceProxy(),
}
"""What is said of a service proxy without looking."""


class LinuxHost:
    """The host whose network namespace the calling thread is in.

    Made to be looked at or cleaned (not `prepared`), it is left as it is until something is applied to it.
    `service_proxy` NONE looks for none, UNCHECKED believes that there is one; with any other kube-proxy is looked at.
    """

    def __init__(
        self,
        dhcp: Driver,
        *,
        metadata_port: int = 8775,
        foreign: Iterable[str] = (),
        prepared: bool = True,
        service_proxy: ProxyMode = ProxyMode.NONE,
    ) -> None:
        foreign = frozenset(foreign)
        self._nft = Nft(metadata_port, foreign, load=prepared)
        self._kernel = Kernel(foreign)
        self._conntrack = Conntrack()
        self._stale = StaleFlows(self._conntrack, self._nft.content)
        self.flows: Flows = self._stale
        self._kube_proxy = KubeProxy() if service_proxy not in _BLIND else None
        self.proxy: ServiceProxy = self._kube_proxy or _BLIND[service_proxy]
        self.attached: Attached = self._kernel.attached
        self.uplinks: Uplinks = self._kernel.links
        self.afresh: Afresh = ReadAfresh(self._kernel, self._nft, dhcp, self._kube_proxy)
        if prepared:
            self._kernel.links.foundation.lay()
        self._drivers: dict[Table, Driver] = dict.fromkeys(NFT_TABLES, self._nft)
        self._drivers |= dict.fromkeys((Table.ROUTE, Table.NEIGHBOUR, Table.DISCARD), self._kernel.routes)
        self._drivers |= {
            Table.ANNOUNCEMENT: self._kernel.routes,
            Table.LINK: self._kernel.links,
            Table.DHCP: dhcp,
        }

    @property
    def messages(self) -> int:
        """Netlink messages sent so far: what tests count to show that a change costs the same at any size."""
        return self._nft.channel.sent + self._kernel.channel.sent

    @property
    def restored(self) -> int:
        """How often the static nft rules had to be loaded again after another's hand."""
        return self._nft.restored

    @property
    def proxy_health(self) -> ProxyHealth | None:
        """What kube-proxy is to be asked for; None where it is not looked at."""
        return self._kube_proxy.health if self._kube_proxy else None

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors that become readable when `disturbances` has something to say."""
        always = (self._kernel.monitor.fileno(), self._nft.monitor.fileno())
        return (*always, *self._kube_proxy.filenos()) if self._kube_proxy else always

    def close(self) -> None:
        """Close the sockets; the host keeps everything."""
        for part in (self._nft, self._kernel, self._stale, self._conntrack, self._kube_proxy):
            if part:
                part.close()

    def remove(self) -> None:
        """Take the static marks off the host, after a plan that wishes for nothing; close this object next."""
        self._nft.remove()
        sysctls.remove(self._kernel.channel)

    def links(self) -> Mapping[str, Link]:
        """Return every interface by name."""
        self._kernel.settle()
        return self._kernel.links.links()

    def observe(self, keys: Collection[Key] | None) -> NodeState:
        """Return our entries; None: all, read afresh."""
        self._kernel.settle()
        state: dict[Key, Entry] = {}
        for driver, asked in self._by_driver(keys):
            state.update(driver.observe(asked))
        return state

    def apply(self, steps: Sequence[Step]) -> list[Failure]:
        """Perform the steps phase by phase; return what was refused, and what was withheld because of it."""
        self._kernel.settle()
        refused = Refused(self._nft)
        for phase in Phase:
            due = [step for step in steps if step.phase is phase]
            if phase is Phase.ANNOUNCE:
                due = refused.allowed(due)
            for driver, run in itertools.groupby(due, self._driver):
                refused.add(self._perform(driver, list(run)))
        return refused.failures

    def disturbances(self) -> Disturbance:
        """Drain the kernel's notifications without blocking."""
        told = (self._kernel.disturbances(), self._nft.disturbances())
        keys = frozenset().union(*(part.keys for part in told))
        proxied, proxy = self._kube_proxy.disturbances() if self._kube_proxy else (frozenset(), False)
        overrun = any(part.overrun for part in told)
        return Disturbance(keys, told[0].links, overrun, told[1].restored, proxied, proxy, told[0].attached)

    def _driver(self, step: Step) -> Driver | None:
        return self._drivers[step.act.key.table] if isinstance(step.act, Change) else None

    def _perform(self, driver: Driver | None, steps: Sequence[Step]) -> list[Failure]:
        if driver is not None:
            return driver.apply(steps)
        flushes = [(step, step.act) for step in steps if isinstance(step.act, Flush)]
        addresses = {address for _, act in flushes for address in act.addresses}
        connectionless = {address for _, act in flushes for address in act.connectionless}
        unanswered = {address for _, act in flushes for address in act.unanswered}
        service_ips = {address for _, act in flushes for address in act.service_ips}
        places = conntrack.BEGUN if steps[0].phase is Phase.FLUSH_NEW else conntrack.LENT
        said = self._conntrack.flush(addresses - service_ips) + self._conntrack.flush(service_ips, places)
        said += self._conntrack.flush_connectionless(connectionless)
        said += self._conntrack.flush_unanswered(unanswered)
        if said:
            self._stale.not_flushed(addresses | connectionless | unanswered)
        return [Failure(step, "; ".join(said)) for step, _ in flushes] if said else []

    def _by_driver(self, keys: Collection[Key] | None) -> list[tuple[Driver, Collection[Key] | None]]:
        asked: dict[int, list[Key]] = {}
        drivers = {id(driver): driver for driver in self._drivers.values()}
        if keys is None:
            return [(driver, None) for driver in drivers.values()]
        for key in keys:
            asked.setdefault(id(self._drivers[key.table]), []).append(key)
        return [(drivers[name], part) for name, part in asked.items()]
