# SPDX-License-Identifier: Apache-2.0
"""The agent alone: CPU of one change, cold start and restart to verified, memory.

Each size runs in a process and a network namespace of its own. Only BIRD and etcd are
played (`bench/node.py`); kernel, nft and DHCP files are real. CPU is the thread's own, so
another process on the machine costs a change caches, not time.
"""

import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import crowd
from bench.apart import apart
from bench.node import NODE, Counting, CrowdedNode, Work
from bench.plot import Plot, Point
from bench.report import Options, Report, short, spread

SIZES = (1, 100, 1_000, 10_000)
_AIM = 2.0
_FIRST, _SECOND = 2_000, 4_000
"""Revisions at which the store begins for each start."""


def bench(options: Options) -> None:
    """Measure every size and write the tables."""
    sizes = SIZES[:3] if options.quick else SIZES
    found = {size: apart("bench.agent", str(size), str(options.times(300, 20))) for size in sizes}
    report = Report(
        "agent",
        "CPU of the agent for one change (ms, median and quartiles), and its start",
        "associate, move to another port, disassociate in turn; thread CPU from the store's batch to the status said",
        ("service IPs", "associate", "move", "disassociate", "p99 of all", "cold start s", "restart s", "memory MiB"),
    )
    for size, each in found.items():
        kinds = [spread(each[kind]) for kind in ("associate", "move", "disassociate")]
        p99 = spread([value for kind in ("associate", "move", "disassociate") for value in each[kind]]).p99
        starts = (f"{short(each[kind]['wall'])} (CPU {short(each[kind]['cpu'])})" for kind in ("cold", "restart"))
        report.row(f"{size:,}", *kinds, short(p99), *starts, short(each["memory"]))
    report.data = {str(size): each for size, each in found.items()}
    series = {
        kind: [Point(size, *spread(each[kind])[:3]) for size, each in found.items()]
        for kind in ("associate", "move", "disassociate")
    }
    title = "Agent CPU of one change"
    report.plots.append(Plot("agent", title, "service IPs on the node", "ms of CPU", series, _AIM, logarithmic=False))
    report.save(options)


def plug(count: int) -> None:
    """Make the taps of a node in the namespace we are in."""
    lines = (f"link add {name} type veth peer name g{name[3:]}\nlink set {name} up\n" for name in _taps(count))
    subprocess.run(["ip", "-batch", "-"], input="".join(lines), text=True, check=True)


def _taps(count: int) -> list[str]:
    return [crowd.tap(port) for port in range(crowd.ports(count))]


async def measure(count: int, trials: int) -> dict[str, Any]:
    """Start cold, start again, change; return seconds, milliseconds per change and MiB."""
    with tempfile.TemporaryDirectory() as name:
        cold, node = await _started(count, Path(name), _FIRST)
        await node.stop()
        node = None  # type: ignore[assignment]  # its memory is not the next one's
        restart, node = await _started(count, Path(name), _SECOND)
        gc.collect()
        gc.freeze()
        works: dict[str, list[float]] = {"associate": [], "move": [], "disassociate": []}
        number, here, there = count + 7, crowd.spare(count), crowd.spare(count, 1)
        for _ in range(trials):
            works["associate"].append(_milliseconds(await node.change(crowd.associated(number, here, NODE))))
            works["move"].append(_milliseconds(await node.change(crowd.associated(number, there, NODE))))
            works["disassociate"].append(_milliseconds(await node.change(crowd.unbound(number))))
        await node.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cold": cold, "restart": restart, "memory": _resident(), "peak": peak, **works}


async def _started(count: int, directory: Path, age: int) -> tuple[dict[str, float], CrowdedNode]:
    """Return what a start takes, from opening the host to everything verified, and the node."""
    # as the agent does until its first pass is over
    gc.set_threshold(200_000)
    node = CrowdedNode(count, directory, Counting(list(crowd.documents(count, NODE)), age))
    wall, cpu = await node.start()
    took = {"wall": wall, "cpu": cpu}
    gc.set_threshold(700, 10, 10)
    assert node.agent.last
    assert not node.agent.last.wrong
    assert not node.agent.parts.caution.cause
    return took, node


def _milliseconds(work: Work) -> float:
    return work.cpu * 1e3


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    plug(int(sys.argv[1]))
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
