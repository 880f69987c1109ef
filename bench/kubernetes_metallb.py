# SPDX-License-Identifier: Apache-2.0
"""Buoy and MetalLB, one after the other on the same machine, asked the same by the same listeners.

Each has a lab of its own: the same control plane, kube-proxy, router and Services. MetalLB runs by native BGP. What
is measured is what both have: address, next hops at the router, an endpoint that is not ready.
"""

import asyncio

from bench import cloudlab, kubernetes_announce, kubernetes_withdraw, metallb
from bench.kubernetes_world import NODES, Server, World, buoy, world
from bench.report import Options, Report, short, spread, tell
from buoy.lab.kubernetes import Plan

SIZE, QUICK = 100, 10
Found = dict[str, list[float]]


def bench(options: Options) -> None:
    """Measure both and write the table; without MetalLB say why there is none."""
    if not metallb.directory().is_dir():
        tell("left out: MetalLB is not built; .venv/bin/python -m bench.metallb builds it, in minutes")
        return
    report = Report(
        "kubernetes_metallb",
        f"Buoy and MetalLB {metallb.VERSION}, {SIZE} Services, one run (ms, median and quartiles)",
        "two nodes, policy Cluster for announcing, Local for endpoints; after kube-proxy: from its transaction on a "
        "node to that next hop at the ToR, negative where the hop was there first",
        (
            "", "address", "announced", "after kube-proxy", "p99", "too early", "not ready: withdrawn", "p99",
            "ready: after kube-proxy", "node MiB", "controller MiB",
        ),
    )  # fmt: skip
    found: dict[str, Found] = {}
    for name, bare, server in (("Buoy", False, buoy), (f"MetalLB {metallb.VERSION}", True, metallb.metallb)):
        tell(f"{name}: bringing up a lab")
        each = found[name] = asyncio.run(_measure(Plan(nodes=len(NODES), bare=bare), server, options))
        ours, withdrawn = spread([*each["ours"], *each["batched ours"]]), spread(each["withdrawn"])
        early = f"{sum(each['too early']):.0f} of {len(each['too early']):,}"
        report.row(
            name, spread(each["address"]), spread(each["announced"]), ours, short(ours.p99), early,
            withdrawn, short(withdrawn.p99), spread(each["back"]), *(short(size) for size in each["memory"]),
        )  # fmt: skip
    report.data = found
    report.save(options)


async def _measure(plan: Plan, server: Server, options: Options) -> Found:
    async with world("ratio", plan, server) as made:
        await made.grow(QUICK if options.quick else SIZE)
        found = await kubernetes_announce.measure(made, options._replace(trials=options.trials or 20))
        turned = await kubernetes_withdraw.measure(made, options._replace(trials=options.trials or 40))
        found |= {stage: turned[stage] for stage in ("withdrawn", "back")}
        found["memory"] = await asyncio.to_thread(_memory, made, bare=plan.bare)
        return found


def _memory(made: World, *, bare: bool) -> list[float]:
    if bare:
        return [metallb.memory(program) for program in metallb.PROGRAMS]
    return [
        max(cloudlab.memory_of(made.process(node)) for node in NODES),
        cloudlab.memory_of(made.process("controller")),
    ]
