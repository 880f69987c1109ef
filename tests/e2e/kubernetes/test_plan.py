# SPDX-License-Identifier: Apache-2.0
"""`kubectl buoy plan -f`: what it tells of a change is what the ToR's kernel shows after it, and nothing else."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, pool, service

BOTH = ("node-1", "node-2")
LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
LOCAL: dict[str, Any] = {"externalTrafficPolicy": "Local"}

Routes = set[tuple[str, str]]
"""Prefix and node."""


class Told(NamedTuple):
    """What a plan said."""

    code: int
    lines: list[dict[str, Any]]

    @property
    def routes(self) -> tuple[Routes, Routes]:
        """The routes that appear, and those that go."""
        found = [(line["change"], (line["subject"], line["node"])) for line in self.lines if line["what"] == "route"]
        return {route for word, route in found if word == "appears"}, {route for word, route in found if word == "goes"}

    @property
    def services(self) -> dict[str, list[str]]:
        """The addresses of each Service that would have others than now."""
        changing = {"gets", "moves", "loses"}
        return {line["subject"]: line["after"] for line in self.lines if line["change"] in changing}


@pytest.fixture(scope="module", autouse=True)
def services(cluster: Cluster) -> None:
    """Two Services with a pod on each node, one with a pod on the second node only."""
    for name in ("wide", "near"):
        for number, node in enumerate(BOTH, 1):
            cluster.pod(f"{name}-{number}", node, {"app": name})
    cluster.pod("far-1", "node-2", {"app": "far"})
    cluster.apply(service("wide"), service("near", **LOCAL), service("far", **LOCAL))
    eventually(lambda: len(at_tor(cluster)), lambda count: count == 5)


def plan(cluster: Cluster, file: Path, *objects: dict[str, Any], words: tuple[str, ...] = ()) -> Told:
    """Write a file and ask what applying it would do."""
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    command = ["kubectl", "buoy", "plan", "-f", str(file), "-o", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=cluster.environment, check=False)
    assert done.returncode in {0, 1, 5}, done.stderr
    return Told(done.returncode, json.loads(done.stdout))


def at_tor(cluster: Cluster) -> Routes:
    """Return every host route and prefix of a pool that the ToR's kernel has by BGP, with the node it leads to."""
    shown = [json.loads(cluster.on("tor", "ip", "-j", *version, "route", "show") or "[]") for version in ((), ("-6",))]
    prefixes = [route["dst"] for routes in shown for route in routes if route.get("protocol") == "bird"]
    whole = [dst if "/" in dst else f"{dst}/{128 if ':' in dst else 32}" for dst in prefixes]
    return {(prefix, node) for prefix in whole for node in cluster.hops(prefix)}


def happens(cluster: Cluster, told: Told, before: Routes) -> None:
    """Demand that the ToR soon has exactly what was told."""
    appear, go = told.routes
    assert [] != told.lines
    assert (set(), set()) == (go - before, appear & before), "told of what is not so now"
    eventually(lambda: at_tor(cluster), lambda now: now == (before | appear) - go)
    names = [name.partition("/")[2] for name in told.services]
    eventually(lambda: list(map(cluster.external, names)), lambda has: has == list(told.services.values()))


def changed(cluster: Cluster, file: Path, *objects: dict[str, Any]) -> Told:
    """Ask of a change, make it, and demand that what was told happens."""
    before = at_tor(cluster)
    told = plan(cluster, file, *objects)
    assert before == at_tor(cluster), "a plan changes nothing"
    cluster.kubectl("apply", "-f", str(file))
    happens(cluster, told, before)
    assert [] == plan(cluster, file, *objects).lines, "what was applied changes nothing a second time"
    return told


def node(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {LABEL: value}}}


def test_a_node_that_is_excluded_and_taken_back(cluster: Cluster, tmp_path: Path) -> None:
    told = changed(cluster, tmp_path / "node.yaml", node("node-2", ""))
    assert (5, 3) == (told.code, len(told.routes[1])), "three routes of five"
    assert 1 == changed(cluster, tmp_path / "node.yaml", node("node-2", "false")).code


def test_a_new_service_gets_the_address_that_was_told_from_the_nodes_that_were_told(
    cluster: Cluster, tmp_path: Path
) -> None:
    made = service("new", **LOCAL, selector={"app": "far"})
    told = changed(cluster, tmp_path / "service.yaml", made)
    assert {("node-2")} == {where for _, where in told.routes[0]}
    before = at_tor(cluster)
    gone = plan(cluster, tmp_path / "service.yaml", made, words=("--delete",))
    cluster.kubectl("delete", "-f", str(tmp_path / "service.yaml"))
    appear, go = gone.routes
    eventually(lambda: at_tor(cluster), lambda now: now == (before | appear) - go)


def test_a_pool_that_no_longer_has_the_addresses_in_use(cluster: Cluster, tmp_path: Path) -> None:
    held = cluster.external("wide")
    told = changed(cluster, tmp_path / "pool.yaml", pool("public", "198.51.100.0/28"))
    assert "OutsidePool" in next(line["note"] for line in told.lines if line["subject"] == "default/wide")
    assert held == cluster.external("wide"), "nobody is moved"
    changed(cluster, tmp_path / "pool.yaml", pool("public", "203.0.113.0/26"))


def test_a_range_that_is_announced_as_a_whole(cluster: Cluster, tmp_path: Path) -> None:
    def configuration(*ranges: str) -> dict[str, Any]:
        spec = {"serviceLoadBalancerIPs": [{"cidr": prefix} for prefix in ranges]}
        return {
            "apiVersion": "projectcalico.org/v3",
            "kind": "BGPConfiguration",
            "metadata": {"name": "default"},
            "spec": spec,
        }

    told = changed(cluster, tmp_path / "bgp.yaml", configuration("203.0.113.0/26"))
    assert {("203.0.113.0/26", each) for each in BOTH} == told.routes[0]
    changed(cluster, tmp_path / "bgp.yaml", configuration())


def test_a_peer_that_is_told_less(cluster: Cluster, tmp_path: Path) -> None:
    [address] = cluster.external("wide")
    rule = {"action": "Reject", "matchOperator": "In", "cidr": f"{address}/32"}
    peer = cluster.get("bgppeers.projectcalico.org", "tor")
    kept = {"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": {"name": "tor"}}
    shut = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "BGPFilter",
        "metadata": {"name": "no-wide"},
        "spec": {"exportV4": [rule]},
    }
    told = changed(cluster, tmp_path / "peer.yaml", shut, {**kept, "spec": {**peer["spec"], "filters": ["no-wide"]}})
    assert {(f"{address}/32", each) for each in BOTH} == told.routes[1]
    changed(cluster, tmp_path / "peer.yaml", {**kept, "spec": {**peer["spec"], "filters": []}})
