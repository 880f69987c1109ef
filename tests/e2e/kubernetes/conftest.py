# SPDX-License-Identifier: Apache-2.0
"""One Kubernetes lab per test module: real API server, kube-proxy, BIRD, agents and controller."""

from collections.abc import Iterator

import pytest

from buoy.lab.kubernetes import PROXY_MODES, Plan
from buoy.lab.lab import Lab
from tests.e2e.cloud import fresh_name
from tests.e2e.kubernetes.cluster import Cluster, pool


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of two nodes with a pool for everybody; nothing of it is left afterwards.

    `PROXY` in a test module is the mode of its kube-proxy.
    """
    plan = Plan(proxy=getattr(request.module, "PROXY", PROXY_MODES[0]))
    room = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:14]
    lab = Lab(fresh_name(f"k-{room}")).up_kubernetes(plan)
    try:
        made = Cluster(lab)
        made.apply(pool("public", "203.0.113.0/26", "2001:db8:113::/112"))
        yield made
    finally:
        lab.down()
