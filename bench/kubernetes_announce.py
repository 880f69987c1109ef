# SPDX-License-Identifier: Apache-2.0
"""From a Service's creation to the ToR's kernel: what is Buoy's controller, what kube-proxy's, what the agent's.

Each Service has a ready endpoint on either node before it is created, and policy Cluster, so that both nodes
announce it. One after the other is created and deleted; then many at once, only to count the announcements that
came before kube-proxy on that node forwarded: there must be none.
"""

import asyncio
import time

from bench import kubernetes_crowd
from bench.kubernetes_crowd import SERVICES, SLICES
from bench.kubernetes_world import NODES, World
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread

AIM = 50.0
STAGES = ("created", "address", "kube-proxy", "ours", "announced")
BATCH = 25

Found = dict[str, list[float]]


async def measure(world: World, options: Options) -> Found:
    """Create Services one by one, then in batches; return milliseconds by stage, and how early each was announced."""
    small = world.size <= 100
    alone = options.times(200 if small else 30, 5)
    together = 50 if options.quick else 1000 if small else 100
    found: Found = {stage: [] for stage in (*STAGES, "too early", "batched", "batched ours")}
    for number in range(alone):
        trial = await _trial(world, f"alone-{world.size}-{number}")
        for stage, values in trial.items():
            found[stage] += values
    for start in range(0, together, BATCH):
        names = [f"batch-{world.size}-{number}" for number in range(start, min(start + BATCH, together))]
        for trial in await asyncio.gather(*(_trial(world, name) for name in names)):
            found["too early"] += trial["too early"]
            found["batched"] += trial["announced"]
            found["batched ours"] += trial["ours"]
    return found


async def _trial(world: World, name: str) -> Found:
    await kubernetes_crowd.make(world.api, SLICES, kubernetes_crowd.endpoints(name, *world.ends))
    start = time.monotonic()
    await kubernetes_crowd.make(world.api, SERVICES, kubernetes_crowd.service(name))
    created = time.monotonic()
    address, given = await world.addresses.of(name)
    found: Found = {stage: [] for stage in (*STAGES, "too early")}
    found["created"].append((created - start) * 1e3)
    found["address"].append((given - start) * 1e3)
    for node in NODES:
        announced = await world.hop(address, node, since=start)
        forwarded = await world.forwards(address, node, since=start)
        found["kube-proxy"].append((forwarded - given) * 1e3)
        found["ours"].append((announced - forwarded) * 1e3)
        found["announced"].append((announced - start) * 1e3)
        found["too early"].append(float(announced < forwarded))
    await world.delete(name, address)
    return found


def report(found: dict[int, Found], options: Options, command: str) -> None:
    """Show and write the table."""
    made = Report(
        "kubernetes_announce",
        "From a Service's creation to the ToR's kernel (ms, median and quartiles)",
        "policy Cluster, a ready endpoint on each of two nodes, one Service after the other, each node counts; "
        "too early: announced before kube-proxy there forwarded, these and those made 25 at once",
        ("Services", *STAGES, "p99 ours", "25 at once: ours", "p99", "too early"),
        command,
    )
    for size, each in found.items():
        stages = [spread(each[stage]) for stage in STAGES]
        batched = spread(each["batched ours"])
        early = f"{sum(each['too early']):.0f} of {len(each['too early']):,}"
        p99 = short(spread(each["ours"]).p99)
        made.row(f"{size:,}", *stages, p99, batched, short(batched.p99), early)
    made.data = {str(size): each for size, each in found.items()}
    series = {
        stage: [Point(size, *spread(each[stage])[:3]) for size, each in found.items()]
        for stage in ("address", "kube-proxy", "ours", "announced")
    }
    title = "A Service's creation to the ToR's kernel"
    made.plots.append(Plot("kubernetes-announce", title, "Services in the cluster", "ms", series, AIM))
    made.save(options)
