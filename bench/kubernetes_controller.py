# SPDX-License-Identifier: Apache-2.0
"""The controller alone: addresses given per second, start over 10,000 Services that have theirs, memory, one deletion.

A lab of control plane and controller; the only node runs neither agent nor kube-proxy, which would share the
processors. Services are made while the controller is stopped, so that it is not the API server's creating that is
measured. Its start is measured with one Service that still waits: until that has its address.
"""

import asyncio
import os
import time
from typing import NamedTuple

import msgspec

from bench import cloudlab, kubernetes_crowd
from bench.kubernetes_crowd import CLAIMS, NAMESPACE, SERVICES
from bench.kubernetes_world import Addresses, process_of
from bench.report import Options, Report, short, spread, tell
from buoy.kubernetes.objects import Metadata
from buoy.lab.kubernetes import Plan
from buoy.lab.lab import Lab
from buoy.store.api_client import ApiServer
from buoy.store.api_names import Resource, Selection

SIZES = (1_000, 10_000)
QUICK = (100, 300)
WITHOUT = ("agent", "kube-proxy", "bird", "aggregation", "node-1/ssh")
CONTROLLER, BUOY = "controller", "buoy"
AIM = 5.0

Found = dict[str, list[float]]


class Versions(NamedTuple):
    """Of which version every Service and claim is, by UID."""

    at: dict[str, str]

    def written(self, later: "Versions") -> int:
        """Return how many of these are of another version later."""
        return sum(later.at.get(uid) != version for uid, version in self.at.items())


class _Head(msgspec.Struct):
    metadata: Metadata


def bench(options: Options) -> None:
    """Measure every size on one lab that grows, and write the table."""
    lab = Lab(f"bench-controller-{os.getpid()}")
    try:
        lab.up_kubernetes(Plan(nodes=1, without=WITHOUT))
        found = asyncio.run(_measure(lab, options))
    finally:
        lab.down()
    report = Report(
        "kubernetes_controller",
        "The controller: giving addresses, starting, memory",
        "Services made while it is stopped; start: from the process's start until a Service that waited has its "
        "address, all others having theirs",
        (
            "Services", "addresses a second", "CPU ms each", "start s (aim 5)", "CPU s", "objects written by it",
            "objects written by a deletion", "MiB", "KiB a Service",
        ),
    )  # fmt: skip
    least = next(iter(found.values()))["memory"][0]
    first = next(iter(found))
    for size, each in found.items():
        apiece = short((each["memory"][0] - least) * 1024 / (size - first)) if size > first else ""
        report.row(
            f"{size:,}", short(each["rate"][0]), short(each["cpu each"][0]), spread(each["start"]),
            short(spread(each["start cpu"]).median), f"{max(each['written']):.0f}", f"{each['deletion'][0]:.0f}",
            short(each["memory"][0]), apiece,
        )  # fmt: skip
    report.data = {str(size): each for size, each in found.items()}
    report.save(options)


async def _measure(lab: Lab, options: Options) -> dict[int, Found]:
    api, addresses = kubernetes_crowd.connect(lab), Addresses()
    hearing = asyncio.create_task(addresses.listen(api))
    found: dict[int, Found] = {}
    held = 0
    try:
        await kubernetes_crowd.make_pool(api)
        for size in QUICK if options.quick else SIZES:
            found[size] = await _grow(lab, api, addresses, range(held, size))
            held = size
            found[size] |= {"start": [], "start cpu": [], "written": []}
            for number in range(options.times(3, 1)):
                for name, value in (await _start(lab, api, addresses, f"waits-{size}-{number}")).items():
                    found[size][name].append(value)
            found[size]["memory"] = [cloudlab.memory_of(process_of(lab, CONTROLLER))]
            found[size]["deletion"] = [await _deletion(api, f"waits-{size}-0")]
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await api.close()
    return found


async def _grow(lab: Lab, api: ApiServer, addresses: Addresses, numbers: range) -> Found:
    """Make Services while the controller is stopped; return how fast it then gives addresses."""
    await asyncio.to_thread(lab.service, "stop", CONTROLLER, BUOY)
    tell(f"making Services {numbers.start:,} to {numbers.stop:,}")
    await kubernetes_crowd.fill(api, numbers)
    tell("starting the controller")
    await asyncio.to_thread(lab.service, "start", CONTROLLER, BUOY)
    moments = sorted([(await addresses.of(f"crowd-{number}"))[1] for number in numbers])
    used = cloudlab.cpu_of(process_of(lab, CONTROLLER))
    rate = (len(moments) - 1) / (moments[-1] - moments[0])
    tell(f"{len(numbers):,} addresses, {rate:.0f} a second")
    return {"rate": [rate], "cpu each": [used / len(numbers) * 1e3]}


async def _start(lab: Lab, api: ApiServer, addresses: Addresses, name: str) -> dict[str, float]:
    """Stop the controller, let a Service wait, start it; return seconds until it is served, and what was written."""
    # what it had begun to say is said
    await asyncio.sleep(2)
    await asyncio.to_thread(lab.service, "stop", CONTROLLER, BUOY)
    before = await _versions(api)
    await kubernetes_crowd.make(api, SERVICES, kubernetes_crowd.service(name))
    began = time.monotonic()
    await asyncio.to_thread(lab.service, "start", CONTROLLER, BUOY)
    _, given = await addresses.of(name)
    used = cloudlab.cpu_of(process_of(lab, CONTROLLER))
    await asyncio.sleep(2)
    tell(f"started in {given - began:.1f} s")
    return {"start": given - began, "start cpu": used, "written": before.written(await _versions(api))}


async def _deletion(api: ApiServer, name: str) -> float:
    """Delete a Service; return how many other objects were written for it, its claim included."""
    before = await _versions(api)
    await kubernetes_crowd.remove(api, [name])
    await asyncio.sleep(2)
    own = 1
    return before.written(await _versions(api)) - own


async def _versions(api: ApiServer) -> Versions:
    found: dict[str, str] = {}
    for resource, selection in ((SERVICES, Selection(namespace=NAMESPACE)), (CLAIMS, Selection())):
        found |= await _of(api, resource, selection)
    return Versions(found)


async def _of(api: ApiServer, resource: Resource, selection: Selection) -> dict[str, str]:
    listed = await api.list(resource, _Head, selection)
    return {each.metadata.uid: each.metadata.resource_version for each in listed}
