# SPDX-License-Identifier: Apache-2.0
"""What a cluster of thousands of Services costs, and what nobody may notice in it.

A client calls from before a Service is created: after its first answer no connection may be refused, lost or
looped. Agent and controller are killed and started: no next hop may move. Memory and CPU are those of the processes.
"""

import asyncio
import json
import time

import msgspec

from bench import cloudlab, kubernetes_crowd
from bench.kubernetes_calls import Calls, before_and_after
from bench.kubernetes_crowd import NAMESPACE, SERVICES, SLICES
from bench.kubernetes_world import NODES, World
from bench.report import Options, Report, short, spread

EVERY = 0.01
_AFTER = 3.0
_PATIENCE = 60.0
_ADDRESS = "198.19.{}.{}"
_MACHINES = (*NODES, "controller")

Found = dict[str, list[float]]


async def measure(world: World, options: Options, grown: tuple[float, float]) -> Found:
    """Call new Services, restart everything of ours; return what was found."""
    found: Found = {"addresses s": [grown[0]], "announced s": [grown[1]]}
    found["memory agent"] = [cloudlab.memory_of(world.process(node)) for node in NODES]
    found["memory controller"] = [cloudlab.memory_of(world.process("controller"))]
    found |= {"calls": [], "before": [], "after": []}
    for number in range(options.times(20, 2)):
        calls, before, after = await _called(world, number)
        found["calls"].append(calls)
        found["before"].append(before)
        found["after"].append(after)
    for machine in _MACHINES:
        seconds, moved = await _restarted(world, machine)
        found[f"restart {machine}"] = [seconds]
        found[f"moved {machine}"] = [moved]
    return found


async def _called(world: World, number: int) -> tuple[int, int, int]:
    """Create a Service that is called all the time; return calls, failures before the first answer, and after."""
    name, address = f"called-{world.size}-{number}", _ADDRESS.format(240 + number // 250, 1 + number % 250)
    client = Calls(world.lab, address, EVERY)
    try:
        await world.api.create(SLICES, NAMESPACE, kubernetes_crowd.endpoints(name, *world.ends), msgspec.Raw)
        wanted = kubernetes_crowd.service(name, loadBalancerIP=address)
        await world.api.create(SERVICES, NAMESPACE, wanted, msgspec.Raw)
        await world.announced(address)
        await asyncio.sleep(_AFTER)
    finally:
        said = await asyncio.to_thread(client.end)
    before, after = before_and_after(said)
    print(f"{len(said)} calls: {before[:3]} {after[:3]}" if before or after else f"{len(said)} calls", flush=True)
    await world.delete(name, address)
    return len(said), len(before), len(after)


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
    return took, world.tor.count - events


async def _allocates(world: World) -> None:
    """Wait until a new Service, which has no endpoint and is announced by nobody, has an address."""
    name = f"restart-{world.size}"
    await world.api.create(SERVICES, NAMESPACE, kubernetes_crowd.service(name), msgspec.Raw)
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
            "Services", "calls", "failed before first answer", "failed after it", "restart agent s",
            "next hops moved", "restart controller s", "next hops moved", "agent MiB", "controller MiB",
        ),
        command,
    )  # fmt: skip
    for size, each in found.items():
        calls, before, after = (f"{sum(each[name]):,.0f}" for name in ("calls", "before", "after"))
        agents = [seconds for node in NODES for seconds in each[f"restart {node}"]]
        moved = sum(count for node in NODES for count in each[f"moved {node}"])
        made.row(
            f"{size:,}", calls, before, after, short(spread(agents).median), f"{moved:.0f}",
            short(each["restart controller"][0]), f"{each['moved controller'][0]:.0f}",
            short(max(each["memory agent"])), short(each["memory controller"][0]),
        )  # fmt: skip
    made.data = {str(size): each for size, each in found.items()}
    made.save(options)
