# SPDX-License-Identifier: Apache-2.0
"""From a write to etcd to NAT, route, announcement, status, and the route in the peer's kernel.

A lab without Neutron: real etcd, agent, BIRD on both sides. One service IP is associated
with a spare port and disassociated in turn, on a node that holds 1, 100, 1,000 and 10,000
others, loaded in bulk at the store. All times run from the moment before the write is sent,
on one clock: listeners to nft and route notifications sit in the namespaces of node and
peer, and the status is heard by a watch of etcd. *Verified* is the last: it is written only
after the agent looked again and BIRD said that a peer has the route.
"""

import asyncio
import queue
import select
import time
from collections.abc import Callable
from typing import NamedTuple

from bench import cloudlab, crowd
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread
from buoy.dataplane import netlink, nft_wire, rtnl
from buoy.lab.lab import Lab
from buoy.model.address import host_prefix, packed
from buoy.model.ownership import ANNOUNCE_TABLE, MAIN_TABLE
from buoy.model.status import AddressStatus, State
from buoy.store.store import Store

SIZES = (1, 100, 1_000, 10_000)
NODE = "compute-1"
NUMBER = 20_007
STAGES = ("written", "NAT", "route", "announcement", "peer's kernel", "verified")
FELIX = {1: 18.0, 100: 75.0, 1_000: 209.0, 10_000: 1_052.0}
_PATIENCE = 20.0
_AIM = 10.0


class Seen(NamedTuple):
    """Something a listener saw, and when."""

    stage: str
    at: float


def bench(options: Options) -> None:
    """Measure every size on one lab that grows, and write the table."""
    sizes = SIZES[:3] if options.quick else SIZES
    trials = options.times(200, 10)
    with cloudlab.lab("store", 1, without=("neutron",)) as made:
        found = asyncio.run(_measure(made, sizes, trials))
    report = Report(
        "store_to_peer",
        "From a write to etcd (ms, median and quartiles)",
        f"{trials} associations at each size; Felix: iptables mode, etcd write to DNAT, the same kind of machine",
        ("service IPs", *STAGES, "p99 verified", "agent CPU", "agent MiB", "Felix: NAT"),
    )
    for size, each in found.items():
        stages = [spread(each[stage]) for stage in STAGES]
        report.row(
            f"{size:,}", *stages, short(stages[-1].p99), short(each["cpu"][0]), short(each["memory"][0]), FELIX[size]
        )
    report.data = {str(size): each for size, each in found.items()}
    series = {
        stage: [Point(size, *spread(each[stage])[:3]) for size, each in found.items()]
        for stage in ("NAT", "peer's kernel", "verified")
    }
    series["Felix: NAT"] = [Point(size, FELIX[size], FELIX[size], FELIX[size]) for size in found]
    title = "Association: from a write to etcd"
    report.plots.append(Plot("store-to-peer", title, "service IPs on the node", "ms", series, _AIM))
    report.save(options)


async def _measure(made: Lab, sizes: tuple[int, ...], trials: int) -> dict[int, dict[str, list[float]]]:
    store = cloudlab.open_lab_store(made)
    heard: queue.Queue[Seen] = queue.Queue()
    statuses: asyncio.Queue[tuple[float, AddressStatus | None]] = asyncio.Queue()
    cloudlab.thread_inside(cloudlab.process_of(made, NODE), _listen_on_node(heard))
    cloudlab.thread_inside(cloudlab.process_of(made, cloudlab.ACCESS), _listen_at_peer(heard))
    listening = asyncio.create_task(_listen_to_status(store, statuses))
    found = {}
    plugged = 0
    try:
        for size in sizes:
            ports = crowd.ports(size)
            cloudlab.plug(made, NODE, range(plugged, ports))
            wanted = list(crowd.documents(size, NODE))
            await cloudlab.load(store, NODE, wanted, size)
            plugged = ports
            found[size] = await _trials(made, store, (heard, statuses), (size, trials))
        return found
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await store.close()


async def _trials(
    made: Lab,
    store: Store,
    ears: tuple["queue.Queue[Seen]", "asyncio.Queue[tuple[float, AddressStatus | None]]"],
    sizes: tuple[int, int],
) -> dict[str, list[float]]:
    size, trials = sizes
    heard, statuses = ears
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    process = cloudlab.agent_process(made, NODE)
    cpu, began = cloudlab.cpu_of(process), time.perf_counter()
    for _ in range(trials):
        start = time.perf_counter()
        await cloudlab.write(store, [crowd.associated(NUMBER, crowd.spare(size), NODE)])
        found["written"].append((time.perf_counter() - start) * 1e3)
        verified = await _status(statuses, State.ACTIVE)
        times = _drain(heard, set(STAGES) - {"written", "verified"})
        for stage, at in {**times, "verified": verified}.items():
            found[stage].append((at - start) * 1e3)
        await cloudlab.write(store, [crowd.unbound(NUMBER)])
        await _status(statuses, None)
        _drain(heard, {"peer without"})
    used, took = cloudlab.cpu_of(process) - cpu, time.perf_counter() - began
    print(f"{size:,}: agent used {used / took:.0%} of a processor", flush=True)
    # two changes in each trial; polling BIRD once a second is in it
    found["cpu"], found["memory"] = [used / (2 * trials) * 1e3], [cloudlab.memory_of(process)]
    return found


async def _status(statuses: "asyncio.Queue[tuple[float, AddressStatus | None]]", wanted: State | None) -> float:
    """Return when the wanted status was heard."""
    while True:
        at, status = await asyncio.wait_for(statuses.get(), _PATIENCE)
        if (status.state if status else None) == wanted:
            return at


def _drain(heard: "queue.Queue[Seen]", wanted: set[str]) -> dict[str, float]:
    """Wait until all of these were seen; return when each was first seen, and forget the rest."""
    times: dict[str, float] = {}
    while wanted - times.keys():
        seen = heard.get(timeout=_PATIENCE)
        times.setdefault(seen.stage, seen.at)
    return {stage: times[stage] for stage in wanted}


async def _listen_to_status(store: Store, statuses: "asyncio.Queue[tuple[float, AddressStatus | None]]") -> None:
    path = f"status/{NODE}/address/{crowd.service(NUMBER)}"
    async for batch in store.watch((path,)):
        status = batch.snapshot.documents.get(path)
        statuses.put_nowait((time.perf_counter(), status if isinstance(status, AddressStatus) else None))


def _listen_on_node(heard: "queue.Queue[Seen]") -> Callable[[], None]:
    raw, prefix = packed(crowd.service(NUMBER)), host_prefix(crowd.service(NUMBER))

    def body() -> None:
        nft = netlink.Monitor(netlink.NETFILTER, (nft_wire.GROUP,))
        routes = netlink.Monitor(netlink.ROUTE, (rtnl.GROUP_ROUTE4,))
        tables = {MAIN_TABLE: "route", ANNOUNCE_TABLE: "announcement"}
        while True:
            ready = select.select([nft, routes], [], [])[0]
            at = time.perf_counter()
            for event in nft.drain()[0] if nft in ready else ():
                if event.kind == nft_wire.NEWELEMENT and raw in event.payload:
                    heard.put(Seen("NAT", at))
            for event in routes.drain()[0] if routes in ready else ():
                seen = rtnl.parse_route(event.payload)
                if seen and seen.prefix == prefix and event.kind == rtnl.NEWROUTE and seen.table in tables:
                    heard.put(Seen(tables[seen.table], at))

    return body


def _listen_at_peer(heard: "queue.Queue[Seen]") -> Callable[[], None]:
    prefix = host_prefix(crowd.service(NUMBER))

    def body() -> None:
        routes = netlink.Monitor(netlink.ROUTE, (rtnl.GROUP_ROUTE4,))
        while True:
            select.select([routes], [], [])
            at = time.perf_counter()
            for event in routes.drain()[0]:
                seen = rtnl.parse_route(event.payload)
                if seen and seen.prefix == prefix:
                    heard.put(Seen("peer's kernel" if event.kind == rtnl.NEWROUTE else "peer without", at))

    return body
