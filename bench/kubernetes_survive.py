# SPDX-License-Identifier: Apache-2.0
"""What a cluster of thousands of Services costs, and what nobody may notice in it.

A client calls from before a Service is created: after its first answer no connection may be refused, lost or
looped. Half of the Services are announced by one node, half by both: when the second becomes a next hop, the ToR's
kernel moves connections that are open, whoever asked it to, and those are reset; they are counted apart. Agent and
controller are killed and started: no next hop may move. Memory is that of the processes.
"""

import asyncio
import json
import time

from bench import cloudlab, kubernetes_crowd
from bench.kubernetes_calls import RESET, Calls, before_and_after
from bench.kubernetes_crowd import SERVICES, SLICES
from bench.kubernetes_world import NODES, World
from bench.report import Options, Report, short, spread, tell

EVERY = 0.01
_AFTER = 2.0
_PATIENCE = 60.0
_ADDRESS = "198.19.{}.{}"
_MACHINES = (*NODES, "controller")

Found = dict[str, list[float]]


async def measure(world: World, options: Options, grown: tuple[float, float]) -> Found:
    """Call new Services, restart everything of ours; return what was found."""
    found: Found = {"addresses s": [grown[0]], "announced s": [grown[1]]}
    found["memory agent"] = [cloudlab.memory_of(world.process(node)) for node in NODES]
    found["memory controller"] = [cloudlab.memory_of(world.process("controller"))]
    found |= {"calls": [], "before": [], "after": [], "moved": []}
    for number in range(options.times(6, 2)):
        for name, count in (await _called(world, number)).items():
            found[name].append(count)
    for machine in _MACHINES:
        seconds, moved = await _restarted(world, machine)
        found[f"restart {machine}"] = [seconds]
        found[f"moved {machine}"] = [moved]
    return found


async def _called(world: World, number: int) -> dict[str, int]:
    """Create a Service that is called all the time; return calls, failures before the first answer, and after."""
    name, address = f"called-{world.size}-{number}", _ADDRESS.format(240 + number // 250, 1 + number % 250)
    policy, ends = ("Cluster", world.ends) if number % 2 else ("Local", world.ends[:1])
    client, began = Calls(world.lab, address, EVERY), time.monotonic()
    try:
        await kubernetes_crowd.make(world.api, SLICES, kubernetes_crowd.endpoints(name, *ends))
        wanted = kubernetes_crowd.service(name, policy, loadBalancerIP=address)
        await kubernetes_crowd.make(world.api, SERVICES, wanted)
        await world.announced(address, *(node for _, node in ends))
        routed = await asyncio.to_thread(world.tor.became, address, bool, began)
        await asyncio.sleep(_AFTER)
    finally:
        said = await asyncio.to_thread(client.end)
    before, after = before_and_after(said, routed)
    moved = [line for line in after if line == RESET and len(ends) > 1]
    found = {"calls": len(said), "before": len(before), "after": len(after) - len(moved), "moved": len(moved)}
    tell(f"{world.size:,} Services, called {policy}: {found} {before[:3]} {after[:3]}")
    await world.delete(name, address)
    return found


async def _restarted(world: World, machine: str) -> tuple[float, int]:
    """Kill and start our process on a machine; return the seconds until it does its work, and the route events."""
    service = "buoy" if machine == "controller" else "agent"
    await asyncio.to_thread(world.lab.service, "kill", machine, service)
    events, began = world.tor.count, time.monotonic()
    await asyncio.to_thread(world.lab.service, "start", machine, service)
    if machine == "controller":
        await _allocates(world)
    else:
        await asyncio.to_thread(_answers, world, machine)
    took = time.monotonic() - began
    await asyncio.sleep(_AFTER)
    tell(f"{world.size:,} Services: {service} on {machine} killed, back after {took:.1f} s")
    return took, world.tor.count - events


async def _allocates(world: World) -> None:
    """Wait until a new Service, which has no endpoint and is announced by nobody, has an address."""
    name = f"restart-{world.size}"
    await kubernetes_crowd.make(world.api, SERVICES, kubernetes_crowd.service(name))
    await world.addresses.of(name)
    await kubernetes_crowd.remove(world.api, [name])
    world.addresses.heard.pop(name, None)


def _answers(world: World, node: str) -> None:
    """Wait until an agent says that an address is well."""
    address, _ = world.addresses.heard["crowd-0"]
    deadline = time.monotonic() + _PATIENCE
    while True:
        done = world.lab.exec(node, "buoy", "why", address, "-o", "json", check=False)
        if done.stdout.startswith("[") and all(line["ok"] for line in json.loads(done.stdout)):
            return
        assert time.monotonic() < deadline, done.stdout + done.stderr


def report(found: dict[int, Found], options: Options, command: str) -> None:
    """Show and write the table."""
    made = Report(
        "kubernetes_survive",
        "A client that calls from before creation; restarts; memory",
        f"a new connection every {EVERY * 1e3:g} ms; agents and controller killed and started in turn; "
        "an agent is back when `buoy why` says so, a controller when a new Service has an address",
        (
            "Services", "calls", "failed before first answer", "failed after it", "moved by the ToR", "restart agent s",
            "next hops moved", "restart controller s", "next hops moved", "agent MiB", "controller MiB",
        ),
        command,
    )  # fmt: skip
    for size, each in found.items():
        counts = (f"{sum(each[name]):,.0f}" for name in ("calls", "before", "after", "moved"))
        agents = [seconds for node in NODES for seconds in each[f"restart {node}"]]
        moved = sum(count for node in NODES for count in each[f"moved {node}"])
        made.row(
            f"{size:,}", *counts, short(spread(agents).median), f"{moved:.0f}",
            short(each["restart controller"][0]), f"{each['moved controller'][0]:.0f}",
            short(max(each["memory agent"])), short(each["memory controller"][0]),
        )  # fmt: skip
    made.data = {str(size): each for size, each in found.items()}
    made.save(options)
