# SPDX-License-Identifier: Apache-2.0
"""The agent alone in a cluster of Services: CPU of one change, start to verified, memory.

Each size runs in a process and a network namespace of its own. Only BIRD, the API server and kube-proxy are played
(`bench/kubernetes_node.py`), and of kube-proxy only the program: its tables are in the kernel. CPU is the thread's
own, from the JSON of a watch to the status given to the API server's client.
"""

import asyncio
import gc
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import kubernetes_node
from bench.apart import apart
from bench.kubernetes_node import Cluster, endpoints, no_service, service
from bench.node import CrowdedNode
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread
from buoy.model.proxied import ProxyMode

SIZES = (10, 100, 1_000, 5_000)
_FIRST, _SECOND = 100_000, 200_000
"""Versions at which the API server begins for each start."""
KINDS = ("created", "forwarded", "not ready", "ready", "deleted")


def bench(options: Options) -> None:
    """Measure every size and write the table."""
    sizes = SIZES[:3] if options.quick else SIZES
    found = {size: apart("bench.kubernetes_agent", str(size), str(options.times(100, 20))) for size in sizes}
    report = Report(
        "kubernetes_agent",
        "CPU of the agent for one change in a cluster (ms, median and quartiles), and its start",
        "a Service with policy Local is created, kube-proxy forwards it, its endpoint here is not ready, ready again, "
        "and it is deleted, in turn; thread CPU from the watch's JSON to the status said",
        ("Services", *KINDS, "p99 of all", "cold start s", "restart s", "MiB", "KiB a Service"),
    )
    least = found[sizes[0]]["memory"]
    for size, each in found.items():
        spreads = [spread(each[kind]) for kind in KINDS]
        p99 = spread([value for kind in KINDS for value in each[kind]]).p99
        starts = (f"{short(each[kind]['wall'])} (CPU {short(each[kind]['cpu'])})" for kind in ("cold", "restart"))
        apiece = short((each["memory"] - least) * 1024 / (size - sizes[0])) if size >= 1_000 else ""
        report.row(f"{size:,}", *spreads, short(p99), *starts, short(each["memory"]), apiece)
    report.data = {str(size): each for size, each in found.items()}
    series = {
        kind: [Point(size, *spread(each[kind])[:3]) for size, each in found.items()]
        for kind in ("created", "forwarded", "not ready")
    }
    title = "Agent CPU of one change of a Service"
    report.plots.append(
        Plot("kubernetes-agent", title, "Services in the cluster", "ms of CPU", series, logarithmic=False)
    )
    report.save(options)


async def measure(count: int, trials: int) -> dict[str, Any]:
    """Start cold, start again, change; return seconds, milliseconds per change and MiB."""
    kubernetes_node.nft(kubernetes_node.tables(range(count)))
    number = count + 7
    with tempfile.TemporaryDirectory() as name:
        cold, node = await _started(count, Path(name), _FIRST)
        await node.stop()
        node = None  # type: ignore[assignment]  # its memory is not the next one's
        restart, node = await _started(count, Path(name), _SECOND)
        gc.collect()
        gc.freeze()
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(trials):
            steps = {
                "created": (endpoints(number), service(number, "Local")),
                "forwarded": (),
                "not ready": (endpoints(number, ready=False),),
                "ready": (endpoints(number),),
                "deleted": (no_service(number),),
            }
            for kind, said in steps.items():
                if kind == "forwarded":
                    kubernetes_node.nft(kubernetes_node.forward(number))
                found[kind].append((await node.change(*said)).cpu * 1e3)
            kubernetes_node.nft(kubernetes_node.forward_no_more(number))
            await node.change()
        await node.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cold": cold, "restart": restart, "memory": _resident(), "peak": peak, **found}


async def _started(count: int, directory: Path, age: int) -> tuple[dict[str, float], CrowdedNode]:
    """Return what a start takes, from opening the host to everything verified, and the node."""
    # as the agent does until its first pass is over
    gc.set_threshold(200_000)
    store = Cluster(kubernetes_node.objects(count), age)
    node = CrowdedNode(count, directory, store, ProxyMode.NFTABLES)
    wall, cpu = await node.start()
    gc.set_threshold(700, 10, 10)
    assert node.agent.last
    assert not node.agent.last.wrong
    assert not node.agent.parts.caution.cause
    return {"wall": wall, "cpu": cpu}, node


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
