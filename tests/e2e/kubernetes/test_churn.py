# SPDX-License-Identifier: Apache-2.0
"""Services that come and go while who serves them is killed: afterwards all who know of them agree."""

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.agreeing import disagreements
from tests.e2e.kubernetes.cluster import Cluster, service

BOTH = ("node-1", "node-2")


@pytest.fixture(scope="module", autouse=True)
def pods(cluster: Cluster) -> None:
    for number, node in enumerate(BOTH, 1):
        cluster.pod(f"web-{number}", node, {"app": "web"})


def web(name: str) -> dict[str, object]:
    return service(name, externalTrafficPolicy="Local", selector={"app": "web"})


def test_after_services_came_and_went_under_kills_everybody_agrees(cluster: Cluster) -> None:
    kills = [("node-1", "agent"), ("controller", "buoy"), ("node-2", "agent"), ("node-2", "kube-proxy")]
    for turn, (machine, daemon) in enumerate(kills):
        cluster.apply(*(web(f"churn-{turn}-{number}") for number in range(10)))
        cluster.lab.service("kill", machine, daemon)
        gone = [f"churn-{turn}-{number}" for number in range(5)]
        cluster.kubectl("delete", "service", "--wait=false", *gone)
        cluster.lab.service("start", machine, daemon)
    assert [] == eventually(lambda: disagreements(cluster, *BOTH), lambda seen: not seen, seconds=60)
