# SPDX-License-Identifier: Apache-2.0
"""What `buoy plan -f` tells is what happens: a real controller on a server in memory, and the nodes after it."""

import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.cli.foresight import Asked, State, foresee
from buoy.controller.reading import Ours
from buoy.kubernetes.changes import Change
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.resources import NODES, SLICES
from buoy.kubernetes.translate import TranslationSettings
from buoy.store.api_names import ObjectName, Resource
from tests.unit.cli.cluster_objects import EXCLUDED, WHERE, cluster, made, pod, service
from tests.unit.controller.cluster import START, Cluster, run
from tests.unit.controller.server import Server

EXAMPLES = int(os.environ.get("BUOY_EXAMPLES", "300")) // 4
NODE_NAMES = ("node-1", "node-2")
SETTINGS = TranslationSettings()
PREFIXES = ("203.0.113.0/31", "203.0.113.0/30", "203.0.113.4/31", "198.51.100.0/31")


def random_change(chance: random.Random) -> Change:
    """Return an object of a few names, as somebody may apply it."""
    kind = chance.choice(("service", "service", "service", "pool", "pool", "node", "bgp"))
    if kind == "service":
        spec: dict[str, Any] = {
            "externalTrafficPolicy": chance.choice(("Cluster", "Local")),
            "type": chance.choice(("LoadBalancer", "LoadBalancer", "LoadBalancer", "ClusterIP")),
            "loadBalancerIP": chance.choice(("", "", "203.0.113.1", "198.51.100.1")),
        }
        return service(chance.choice(("a", "b", "c")), selector={"app": "x"}, **spec)
    if kind == "pool":
        prefixes = [prefix for prefix in PREFIXES if chance.random() < 0.5] or [PREFIXES[1]]
        return made("Pool", chance.choice(("public", "other")), spec={"prefixes": prefixes})
    if kind == "node":
        return made("Node", chance.choice(NODE_NAMES), {EXCLUDED: chance.choice(("", "false"))})
    ranges = [{"cidr": "203.0.113.0/24"}] if chance.random() < 0.5 else []
    return made("BGPConfiguration", "default", spec={"serviceLoadBalancerIPs": ranges})


async def happens(before: Inventory, changes: tuple[Change, ...], slices: Inventory, *, delete: bool) -> Inventory:
    """Return what stands after a change was made on a server that a controller of its own follows.

    `slices` holds the EndpointSlices there are after it: those are Kubernetes' own work.
    """
    world = Cluster()
    put(world.server, before)
    await world.restart()
    await world.settle()
    for each in changes:
        at, metadata = each.resource.at(each.name), each.body["metadata"]
        if delete:
            world.server.delete(at)
        elif world.server.patch(at, {"metadata": metadata, "spec": each.body.get("spec", {})}) is None:
            world.server.create(each.resource, each.name.namespace, each.body)
        await world.settle()
    after: dict[Resource, dict[ObjectName, Any]] = {SLICES: dict(slices.of(SLICES))}
    for (resource, name), found in world.server.objects.items():
        if resource != SLICES:
            after.setdefault(resource, {})[name] = found
    return Inventory(after)


def put(server: Server, objects: Inventory) -> None:
    """Have a server hold these objects, as they are."""
    server.objects.clear()
    for resource in set(WHERE.values()):
        for name, found in objects.of(resource).items():
            server.objects[resource, name] = found
            server.version = max(server.version, int(found["metadata"]["resourceVersion"]))


def addresses(state: State) -> dict[str, tuple[str, ...]]:
    """Return what each Service has."""
    return {name: standing.addresses for name, standing in state.holders.items() if standing.addresses}


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32 - 1))
def test_what_is_told_is_what_happens(seed: int) -> None:
    chance = random.Random(seed)
    objects = cluster(pod("p", "x", "node-1"), pod("q", "x", "node-2", ready=chance.random() < 0.5))
    for _ in range(5):
        changes = tuple(
            {change.name: change for change in map(random_change, [chance] * chance.randint(1, 3))}.values()
        )
        delete = chance.random() < 0.2 and all(change.resource != NODES for change in changes)
        foreseen = objects.copy()
        asked = Asked(changes, delete, Ours(), SETTINGS, frozenset(NODE_NAMES))
        told = run(foresee(foreseen, asked, START))[1]
        objects = run(happens(objects, changes, foreseen, delete=delete))
        now = run(foresee(objects.copy(), asked._replace(changes=()), START))[0]
        assert addresses(now) == addresses(told)
        assert dict(now.preview.routes) == dict(told.preview.routes)
        assert dict(now.preview.sessions) == dict(told.preview.sessions)
