# SPDX-License-Identifier: Apache-2.0
"""From an endpoint that is not ready any more to the next hop that is gone at the ToR's kernel.

The EndpointSlice is written by hand, so Kubernetes' own controller is not measured. The Service has policy Local
and an endpoint on each of two nodes; that of node-1 turns not ready, and ready again. The clock starts before
the request is sent.
"""

import asyncio
import time

from bench import kubernetes_crowd
from bench.kubernetes_crowd import SERVICES, SLICES
from bench.kubernetes_world import NODES, World, at
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread

AIM = 15.0
STAGES = ("answered", "withdrawn", "kube-proxy", "back")
Found = dict[str, list[float]]


async def measure(world: World, options: Options) -> Found:
    """Let an endpoint turn not ready and ready; return milliseconds."""
    name, node = f"local-{world.size}", NODES[0]
    await kubernetes_crowd.make(world.api, SLICES, kubernetes_crowd.endpoints(name, *world.ends))
    await kubernetes_crowd.make(world.api, SERVICES, kubernetes_crowd.service(name, "Local"))
    address, _ = await world.addresses.of(name)
    await world.announced(address)
    found: Found = {stage: [] for stage in STAGES}
    for _ in range(options.times(200 if world.size <= 1_000 else 60, 10)):
        start = time.monotonic()
        await _set(world, name, ready=False)
        found["answered"].append((time.monotonic() - start) * 1e3)
        found["withdrawn"].append((await world.hop(address, node, there=False, since=start) - start) * 1e3)
        # kube-proxy has seen it too, so that its return is not taken for what was there before
        await _refused(world, address, node, start)
        start = time.monotonic()
        await _set(world, name, ready=True)
        forwarded = await world.forwards(address, node, since=start)
        found["kube-proxy"].append((forwarded - start) * 1e3)
        found["back"].append((await world.hop(address, node, since=start) - forwarded) * 1e3)
        for ears in (world.tor, *world.proxies.values()):
            ears.forget(address)
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
        "policy Local, an endpoint on each of two nodes, the EndpointSlice written by hand; back: after kube-proxy",
        ("Services", "API answered", "withdrawn", "p99", "ready: kube-proxy", "ours after it", "p99"),
        command,
    )
    for size, each in found.items():
        answered, withdrawn, proxy, back = (spread(each[stage]) for stage in STAGES)
        made.row(f"{size:,}", answered, withdrawn, short(withdrawn.p99), proxy, back, short(back.p99))
    made.data = {str(size): each for size, each in found.items()}
    series = {
        "API answered": [Point(size, *spread(each["answered"])[:3]) for size, each in found.items()],
        "withdrawn": [Point(size, *spread(each["withdrawn"])[:3]) for size, each in found.items()],
    }
    title = "An endpoint turns not ready: next hop gone"
    made.plots.append(
        Plot("kubernetes-withdraw", title, "Services in the cluster", "ms", series, AIM, logarithmic=False)
    )
    made.save(options)
