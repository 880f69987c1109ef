# SPDX-License-Identifier: Apache-2.0
"""From a Service's creation to the ToR's kernel: what is Buoy's controller, what kube-proxy's, what the agent's.

Each Service has a ready endpoint on either node before it is created, and policy Cluster, so that both nodes
announce it. They come one after the other, then 25 at once. Each node of each Service is a trial of whether it was
announced before kube-proxy there forwarded: there must be none. All moments are of events after the Service was
made, for its address may have been another's before.
"""

import asyncio
import time

from bench import kubernetes_crowd
from bench.kubernetes_crowd import SERVICES, SLICES
from bench.kubernetes_world import NODES, World
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread, tell

AIM = 50.0
STAGES = ("created", "address", "kube-proxy", "ours", "announced")
BATCH = 25
_FEW = 1_000
"""Services among which kube-proxy needs milliseconds for a change, and not seconds."""

Found = dict[str, list[float]]


async def measure(world: World, options: Options) -> Found:
    """Create Services one by one, then in batches; return milliseconds by stage, and how early each was announced."""
    few = world.size < _FEW
    alone, batches = (100, 16) if few else (20, 8)
    found: Found = {stage: [] for stage in (*STAGES, "agent", "too early", "batched", "batched ours")}
    made: dict[str, str] = {}
    for number in range(options.times(alone, 5)):
        name = f"alone-{world.size}-{number}"
        for stage, values in (await _trial(world, name, made)).items():
            found[stage] += values
        if few:
            await _delete(world, made)
    await _delete(world, made)
    tell(f"{world.size:,} Services: {len(found['ours'])} announced one after the other")
    for batch in range(2 if options.quick else batches):
        names = [f"batch-{world.size}-{batch}-{number}" for number in range(BATCH)]
        for trial in await asyncio.gather(*(_trial(world, name, made) for name in names)):
            found["too early"] += trial["too early"]
            found["batched"] += trial["announced"]
            found["batched ours"] += trial["ours"]
        await _delete(world, made)
    tell(f"{world.size:,} Services: {len(found['batched'])} announced {BATCH} at once")
    return found


async def _trial(world: World, name: str, made: dict[str, str]) -> Found:
    await kubernetes_crowd.make(world.api, SLICES, kubernetes_crowd.endpoints(name, *world.ends))
    start = time.monotonic()
    await kubernetes_crowd.make(world.api, SERVICES, kubernetes_crowd.service(name))
    created = time.monotonic()
    address, given = await world.addresses.of(name)
    made[name] = address
    found: Found = {stage: [] for stage in (*STAGES, "agent", "too early")}
    found["created"].append((created - start) * 1e3)
    found["address"].append((given - start) * 1e3)
    for node in NODES:
        announced = await world.hop(address, node, since=start)
        forwarded = await world.forwards(address, node, since=start)
        found["kube-proxy"].append((forwarded - given) * 1e3)
        found["ours"].append((announced - forwarded) * 1e3)
        found["announced"].append((announced - start) * 1e3)
        found["too early"].append(float(announced < forwarded))
        if node in world.announcing:
            decided = await world.decided(address, node, since=start)
            found["agent"].append((decided - forwarded) * 1e3)
            found["too early"][-1] = float(min(announced, decided) < forwarded)
    return found


async def _delete(world: World, made: dict[str, str]) -> None:
    await asyncio.gather(*(world.delete(name, address) for name, address in made.items()))
    made.clear()


def report(found: dict[int, Found], options: Options, command: str) -> None:
    """Show and write the table."""
    made = Report(
        "kubernetes_announce",
        "From a Service's creation to the ToR's kernel (ms, median and quartiles)",
        "policy Cluster, a ready endpoint on each of two nodes, each node counts; ours: from kube-proxy's transaction "
        "to the next hop at the ToR, of it agent: until the node's BIRD is told; "
        f"too early: before kube-proxy there forwarded, of all trials, also those {BATCH} at once",
        (
            "Services",
            *STAGES[:3],
            "ours",
            "p99",
            "of it agent",
            "announced",
            f"{BATCH} at once: ours",
            "p99",
            "too early",
        ),
        command,
    )
    for size, each in found.items():
        *before, ours, announced = (spread(each[stage]) for stage in STAGES)
        batched = spread(each["batched ours"])
        early = f"{sum(each['too early']):.0f} of {len(each['too early']):,}"
        agent = spread(each["agent"])
        made.row(f"{size:,}", *before, ours, short(ours.p99), agent, announced, batched, short(batched.p99), early)
    made.data = {str(size): each for size, each in found.items()}
    series = {
        stage: [Point(size, *spread(each[stage])[:3]) for size, each in found.items()]
        for stage in ("address", "kube-proxy", "ours", "announced")
    }
    title = "A Service's creation to the ToR's kernel"
    made.plots.append(Plot("kubernetes-announce", title, "Services in the cluster", "ms", series, AIM))
    made.save(options)
