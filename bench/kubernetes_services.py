# SPDX-License-Identifier: Apache-2.0
"""One Kubernetes lab that grows: Services announced, withdrawn, called from outside, and restarts between them.

The measurements are those of `kubernetes_announce`, `kubernetes_withdraw` and `kubernetes_survive`, which share the
lab because its thousands of Services take longer to make than to measure.
"""

import asyncio

from bench import kubernetes_announce, kubernetes_survive, kubernetes_withdraw
from bench.kubernetes_world import world
from bench.report import Options

SIZES = (10, 100, 5_000)
QUICK = (10, 100)
_NAME = "kubernetes_services"


def bench(options: Options) -> None:
    """Measure every size on one lab that grows, and write the tables."""
    announced, withdrawn, survived = asyncio.run(_measure(options))
    kubernetes_announce.report(announced, options, _NAME)
    kubernetes_withdraw.report(withdrawn, options, _NAME)
    kubernetes_survive.report(survived, options, _NAME)


async def _measure(
    options: Options,
) -> tuple[
    dict[int, kubernetes_announce.Found], dict[int, kubernetes_withdraw.Found], dict[int, kubernetes_survive.Found]
]:
    announced, withdrawn, survived = {}, {}, {}
    async with world("services") as made:
        for size in QUICK if options.quick else SIZES:
            grown = await made.grow(size)
            withdrawn[size] = await kubernetes_withdraw.measure(made, options)
            if size > 10:
                announced[size] = await kubernetes_announce.measure(made, options)
                survived[size] = await kubernetes_survive.measure(made, options, grown)
    return announced, withdrawn, survived
