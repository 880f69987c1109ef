# SPDX-License-Identifier: Apache-2.0
"""A router that asks for a password: spoken with once the nodes have it, and never without."""

import json

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, service

BOTH = ("node-1", "node-2")
DIRECTORY = "/etc/buoy/passwords/bgp-secrets"


def ask_for(cluster: Cluster, password: str) -> None:
    """Let the ToR take no session without this password."""
    change = f's/template bgp node {{/&\\n  password "{password}";/'
    cluster.on("tor", "sed", "-i", change, "/etc/buoy/bird.conf")
    cluster.on("tor", "birdc", "-s", "/run/buoy/bird.ctl", "configure")


def test_a_peer_is_refused_until_its_password_is_on_the_node(cluster: Cluster) -> None:
    cluster.apply(service("web"))
    cluster.pod("web-1", "node-1", {"app": "web"})
    [address] = eventually(lambda: cluster.external("web"))
    cluster.announced(f"{address}/32", *BOTH)
    ask_for(cluster, "s3cret")
    named = {"spec": {"password": {"secretKeyRef": {"name": "bgp-secrets", "key": "tor"}}}}
    cluster.kubectl("patch", "bgppeer", "tor", "--type", "merge", "-p", json.dumps(named))
    eventually(lambda: problems(cluster, "node-1"), lambda seen: "peers/tor.password_from" in seen, 20)
    cluster.announced(f"{address}/32", seconds=20)
    for node in BOTH:
        cluster.on(node, "sh", "-c", f"mkdir -p {DIRECTORY} && echo s3cret > {DIRECTORY}/tor")
    cluster.announced(f"{address}/32", *BOTH, seconds=100)
    eventually(lambda: problems(cluster, "node-1"), lambda seen: "password" not in seen, 20)


def problems(cluster: Cluster, node: str) -> str:
    """Return what a node says is wrong."""
    return json.dumps(cluster.get("nodestatuses", node)["spec"].get("problems", []))
