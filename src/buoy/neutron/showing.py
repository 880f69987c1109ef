# SPDX-License-Identifier: Apache-2.0
"""What Neutron is shown of the nodes' reports: each thing by itself, again when it was refused, all of it now and then.

Promises: what a driver, a callback or the database refuses for one port, floating
IP or agent is logged with its name and done again, and holds up nothing else. The
tricky thing: one view of the store is judged by several tasks in turn, so each
takes the lock, and judges what the view says then. Of a thousand statuses that
lasts, so neither who drains the outbox nor a heartbeat waits for it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from oslo_log import log

from buoy.model.node import Node
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Batch, Snapshot
from buoy.neutron import status, verdict
from buoy.store.store import Store

LOG = log.getLogger(__name__)

AGAIN = 10.0
"""Seconds until what was refused is tried again."""


class Showing:
    """Belongs to one event loop; database work runs beside it."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._refused: set[str] = set()
        self._snapshot: Snapshot | None = None
        self._unchanged: dict[str, int] = {}
        self._left = asyncio.Event()
        self._turn = asyncio.Lock()
        self._agents = asyncio.Lock()
        """Who shows agents, inside or outside of a turn: a dead one must not be shown alive after it was buried."""

    async def follow(self, store: Store) -> None:
        """Show what the store says, for ever."""
        async for batch in store.watch(verdict.PREFIXES):
            self._snapshot = batch.snapshot
            await self.show(batch)

    async def show_all(self) -> None:
        """Judge everything again: an update may have been lost, or undone by somebody's hand."""
        if self._snapshot is not None:
            await self.show(Batch(self._snapshot, None))

    def leave(self, unchanged: Mapping[str, int]) -> None:
        """Note paths that Neutron touched and the store had all along, with their revisions, for `follow_left`."""
        self._unchanged.update(unchanged)
        self._left.set()

    async def follow_left(self) -> None:
        """Show for ever what is left."""
        while True:
            self._left.clear()
            await self.show_left()
            await self._left.wait()

    async def show_left(self) -> None:
        """Show again what Neutron touched and the store had all along: it may have set a status, and no event follows.

        Where our view is of another revision, the event is still on its way. What was not reached stays left.
        """
        left, self._unchanged = self._unchanged, {}
        if self._snapshot is None:
            return
        revisions = self._snapshot.revisions
        same = frozenset(path for path, revision in left.items() if revisions.get(path) == revision)
        if not same:
            return
        with ExitStack() as unless_done:
            unless_done.callback(lambda: self._unchanged.update(left | self._unchanged))
            await self.show(Batch(self._snapshot, same))
            unless_done.pop_all()

    async def retry(self) -> None:
        """Try for ever, now and then, what was refused."""
        while True:
            await asyncio.sleep(AGAIN)
            await self.show_refused()

    async def show_refused(self) -> None:
        """Try what was refused; what was not reached stays refused."""
        again, self._refused = self._refused, set()
        if self._snapshot is None or not again:
            return
        with ExitStack() as unless_done:
            unless_done.callback(lambda: self._refused.update(again))
            await self.show(Batch(self._snapshot, frozenset(again)))
            unless_done.pop_all()

    async def show(self, batch: Batch) -> None:
        """Show what a batch of the store changes."""
        async with self._turn:
            snapshot, seen = batch.snapshot, verdict.touched(batch, self._nodes)
            claims = [snapshot.documents.get(f"service-ips/{address}") for address in seen.addresses]
            floating = [(c, verdict.address_state(snapshot, c)) for c in claims if isinstance(c, ServiceIP) and c.id]
            ports = {(n, w): state for n, w in seen.workloads if (state := verdict.workload_state(snapshot, n, w))}
            await self._show_nodes(verdict.nodes(batch, self._nodes))
            if ports:
                await self._show_ports(ports)
            for claim, state in await asyncio.to_thread(status.unlike_floating_ips, floating) if floating else ():
                await self._attempt(f"service-ips/{claim.address}", partial(status.write_floating_ip, claim, state))

    async def _show_ports(self, states: status.PortStates) -> None:
        for (node, port), state in (await asyncio.to_thread(status.unlike_ports, states)).items():
            await self._attempt(f"workloads/{node}/{port}", partial(status.write_port, node, port, state))

    async def _show_nodes(self, nodes: dict[str, Node | None]) -> None:
        """Show who came and went; what is refused is not noted, and so done again."""
        async with self._agents:
            for name, node in nodes.items():
                if node is None:
                    if name in self._nodes and await self._attempt(f"nodes/{name}", partial(status.bury_agent, name)):
                        del self._nodes[name]
                elif name in self._nodes or await self._tell(node):
                    self._nodes[name] = node

    async def beat(self) -> None:
        """Show the living agents alive: their rows as a whole only where these say something new."""
        async with self._agents:
            news = [node for name, node in self._nodes.items() if self._told.get(name) != status.configuration(node)]
            known = await asyncio.to_thread(status.touch_agents, self._nodes.keys() - {node.name for node in news})
            for node in self._nodes.values():
                if node.name not in known:
                    await self._tell(node)

    async def _tell(self, node: Node) -> bool:
        told = await self._attempt(f"nodes/{node.name}", partial(status.write_agent, node))
        if told:
            self._told[node.name] = status.configuration(node)
        return told

    async def _attempt(self, path: str, act: Callable[[], None]) -> bool:
        """Tell whether it worked; if not, the log has why, and it is tried again."""
        task = asyncio.create_task(asyncio.to_thread(act))
        # a task holds what is raised: whatever drivers and callbacks of others raise ends here
        await asyncio.wait({task})
        error = task.exception()
        if error is not None:
            self._refused.add(path)
            LOG.error("the status of %s is not shown, again in %.0f s: %s", path, AGAIN, error, exc_info=error)
        return error is None
