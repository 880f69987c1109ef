# SPDX-License-Identifier: Apache-2.0
"""From an endpoint that is not ready any more to the next hop that is gone at the ToR's kernel.

The EndpointSlice is written by hand, so Kubernetes' own controller is not measured. The Service has policy Local
and an endpoint on each of two nodes; that of node-1 turns not ready, and ready again. The clock starts before
the request is sent, and may be read before it is answered: an API server tells its watches first. Before each trial
is a rest, so that what the one before has caused is over, on the other node too.
"""

import asyncio
import time

from bench import kubernetes_crowd
from bench.kubernetes_crowd import SERVICES, SLICES
from bench.kubernetes_world import NODES, World, at
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread, tell

AIM = 15.0
_REST = 0.5
"""Seconds before each trial in which statuses are written; kube-proxy's pass among many takes seconds."""
_LONG_REST = 5.0
STAGES = ("answered", "heard", "agent", "BIRD", "withdrawn", "kube-proxy", "back")
Found = dict[str, list[float]]


async def measure(world: World, options: Options) -> Found:
    """Let an endpoint turn not ready and ready; return milliseconds."""
    name, node = f"local-{world.size}", NODES[0]
    await kubernetes_crowd.make(world.api, SLICES, kubernetes_crowd.endpoints(name, *world.ends))
    await kubernetes_crowd.make(world.api, SERVICES, kubernetes_crowd.service(name, "Local"))
    address, _ = await world.addresses.of(name)
    await world.announced(address)
    found: Found = {stage: [] for stage in STAGES}
    few = world.size <= 1_000
    for _ in range(options.times(60 if few else 20, 10)):
        await asyncio.sleep(_REST if few else _LONG_REST)
        start = time.monotonic()
        await _set(world, name, ready=False)
        answered = time.monotonic()
        withdrawn = await world.hop(address, node, there=False, since=start)
        heard = await world.slices.of(name, ready=False, since=start)
        decided = await world.decided(address, node, there=False, since=start) if world.announcing else heard
        moments = {"answered": answered - start, "heard": heard - start, "withdrawn": withdrawn - start}
        moments |= {"agent": decided - heard, "BIRD": withdrawn - decided}
        # kube-proxy has seen it too, so that its return is not taken for what was there before
        await _refused(world, address, node, start)
        start = time.monotonic()
        await _set(world, name, ready=True)
        forwarded = await world.forwards(address, node, since=start)
        moments["kube-proxy"] = forwarded - start
        moments["back"] = await world.hop(address, node, since=start) - forwarded
        for stage, seconds in moments.items():
            found[stage].append(seconds * 1e3)
        for ears in (world.tor, *world.proxies.values(), *world.announcing.values()):
            ears.forget(address)
    tell(f"{world.size:,} Services: {len(found['withdrawn'])} endpoints not ready, and ready again")
    await kubernetes_crowd.remove(world.api, [name])
    return found


async def _refused(world: World, address: str, node: str, since: float) -> None:
    await asyncio.to_thread(world.proxies[node].became, address, lambda now: not now, since)


async def _set(world: World, name: str, *, ready: bool) -> None:
    slice_ = kubernetes_crowd.endpoints(name, *world.ends)
    slice_["endpoints"][0]["conditions"] = {"ready": ready, "serving": ready}
    await kubernetes_crowd.change(world.api, SLICES.at(at(name)), {"endpoints": slice_["endpoints"]})


def report(found: dict[int, Found], options: Options, command: str) -> None:
    """Show and write the table."""
    made = Report(
        "kubernetes_withdraw",
        "From an endpoint that is not ready to its node's next hop gone at the ToR (ms, median and quartiles)",
        "policy Local, an endpoint on each of two nodes, the EndpointSlice written by hand; heard: by a watch like the "
        "agent's; agent: from there until BIRD is told; BIRD: from there to the ToR's kernel; back: after kube-proxy",
        ("Services", "withdrawn", "p99", "API answered", "heard", "agent", "BIRD", "ready: kube-proxy", "back", "p99"),
        command,
    )
    for size, each in found.items():
        answered, heard, agent, bird, withdrawn, proxy, back = (spread(each[stage]) for stage in STAGES)
        p99 = short(withdrawn.p99), short(back.p99)
        made.row(f"{size:,}", withdrawn, p99[0], answered, heard, agent, bird, proxy, back, p99[1])
    made.data = {str(size): each for size, each in found.items()}
    series = {
        name: [Point(size, *spread(each[stage])[:3]) for size, each in found.items()]
        for name, stage in (("heard", "heard"), ("withdrawn", "withdrawn"))
    }
    title = "An endpoint turns not ready: next hop gone"
    made.plots.append(
        Plot("kubernetes-withdraw", title, "Services in the cluster", "ms", series, AIM, logarithmic=False)
    )
    made.save(options)
