# SPDX-License-Identifier: Apache-2.0
"""One Kubernetes lab that grows: Services announced, withdrawn, called from outside, and restarts between them.

The measurements are those of `kubernetes_announce`, `kubernetes_withdraw` and `kubernetes_survive`, which share the
lab because its thousands of Services take longer to make than to measure.
"""

import asyncio
from typing import NamedTuple

from bench import kubernetes_announce, kubernetes_survive, kubernetes_withdraw
from bench.kubernetes_world import world
from bench.report import Options

SIZES = (10, 100, 5_000)
QUICK = (10, 100)
_NAME = "kubernetes_services"
_REPORTS = (kubernetes_announce.report, kubernetes_withdraw.report, kubernetes_survive.report)


class Found(NamedTuple):
    """What was measured, by the number of Services."""

    announced: dict[int, kubernetes_announce.Found]
    withdrawn: dict[int, kubernetes_withdraw.Found]
    survived: dict[int, kubernetes_survive.Found]


def bench(options: Options) -> None:
    """Measure every size on one lab that grows, and write the tables of what was measured, also if it ends early."""
    found = Found({}, {}, {})
    try:
        asyncio.run(_measure(options, found))
    finally:
        for part, report in zip(found, _REPORTS, strict=True):
            if part:
                report(part, options, _NAME)


async def _measure(options: Options, found: Found) -> None:
    async with world("services") as made:
        for size in QUICK if options.quick else SIZES:
            grown = await made.grow(size)
            found.withdrawn[size] = await kubernetes_withdraw.measure(made, options)
            if size > QUICK[0]:
                found.announced[size] = await kubernetes_announce.measure(made, options)
                found.survived[size] = await kubernetes_survive.measure(made, options, grown)
