# SPDX-License-Identifier: Apache-2.0
"""Whether all who know of Services agree: their status, the claims, the nodes' kernels and the ToR's."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.e2e.kubernetes.cluster import Cluster


def disagreements(cluster: Cluster, *nodes: str) -> list[str]:
    """Return what is not as it must be once all is quiet, where each node has an endpoint of each Service.

    Each Service has one IPv4 address and the claim on it; exactly these addresses are announced by
    each of the nodes, and are known to the ToR with each of them as a next hop.
    """
    items = cluster.get("services", "-A")["items"]
    has = {_name(one["metadata"]): _addresses(one) for one in items if one["spec"]["type"] == "LoadBalancer"}
    counted = Counter(address for found in has.values() for address in found)
    return [
        *(f"{name} has the addresses {found}" for name, found in has.items() if len(found) != 1),
        *(f"{address} was given {times} times" for address, times in counted.items() if times > 1),
        *_misclaimed(_claimed(cluster), {address: name for name, found in has.items() for address in found}),
        *(line for node in nodes for line in _differences(node, _routes(cluster, node, "table", "2053"), counted)),
        *_differences("tor", [one for one in _learnt(cluster) if len(one.get("nexthops", "1")) == len(nodes)], counted),
    ]


def _misclaimed(claimed: Mapping[str, str], had: Mapping[str, str]) -> Iterator[str]:
    for address in sorted(claimed.keys() | had.keys()):
        if claimed.get(address) != had.get(address):
            yield f"{address} is claimed by {claimed.get(address)}, and {had.get(address)} has it"


def _differences(where: str, routes: list[dict[str, Any]], wanted: Mapping[str, int]) -> Iterator[str]:
    found = {route["dst"] for route in routes}
    yield from (f"{where} has no route to {address}" for address in sorted(wanted.keys() - found))
    yield from (f"{where} has a route to {address}" for address in sorted(found - wanted.keys()))


def _name(metadata: Mapping[str, str]) -> str:
    return f"{metadata['namespace']}/{metadata['name']}"


def _addresses(service: Mapping[str, Any]) -> list[str]:
    return [entry["ip"] for entry in service["status"].get("loadBalancer", {}).get("ingress", [])]


def _claimed(cluster: Cluster) -> dict[str, str]:
    """Return who has each address that is not released."""
    claims = [one for one in cluster.get("serviceips")["items"] if "released" not in one["spec"]]
    return {one["metadata"]["name"]: ", ".join(map(_name, one["spec"].get("owners", []))) for one in claims}


def _learnt(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the ToR's routes by BGP to single addresses."""
    return [route for route in _routes(cluster, "tor", "proto", "bird") if "/" not in route["dst"]]


def _routes(cluster: Cluster, machine: str, *where: str) -> list[dict[str, Any]]:
    # a table that nobody has put a route in yet does not exist
    done = cluster.lab.exec(machine, "ip", "-j", "-4", "route", "show", *where, check=False)
    if "FIB table does not exist" in done.stderr:
        return []
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout or "[]"))
