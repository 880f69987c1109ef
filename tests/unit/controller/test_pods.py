# SPDX-License-Identifier: Apache-2.0
"""Floating IPs of pods: asked for by annotation or given by hand, and where they lead to from one life to the next."""

from typing import Any

import pytest

from buoy.controller.claims import CLAIMS
from buoy.controller.reading import Ours
from buoy.kubernetes.resources import PODS
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import OURS, Cluster, events, run

WISH, PORTS, DIRECTION = "buoy.dev/floating-ip", "buoy.dev/floating-ip-ports", "buoy.dev/floating-ip-direction"
CALICO = "cni.projectcalico.org/floatingIPs"
OWNER = {"kind": "ReplicaSet", "name": "web-5d9f", "controller": True}
REPLICA: dict[str, Any] = {"ownerReferences": [OWNER], "labels": {"pod-template-hash": "5d9f"}}


def cluster(ours: Ours = OURS, **pools: str) -> Cluster:
    world = Cluster(ours=ours)
    for name, prefix in (pools or {"gold": "192.0.2.0/30"}).items():
        world.pool(name, prefix, automatic=False)
    for controller in world.controllers:
        controller.telling()
    return world


def pod(world: Cluster, name: str, ip: str = "10.244.0.2", node: str = "node-1", **more: Any) -> None:  # noqa: ANN401
    """Run a pod that is ready, or make another of it; `more` is of its metadata, `spec` and `status` apart."""
    spec = {"nodeName": node, **more.pop("spec", {})}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIPs": [{"ip": ip}] if ip else [], "conditions": ready, **more.pop("status", {})}
    made = {"metadata": {"name": name, **more}, "spec": spec, "status": status}
    if world.server.patch(at(name), made) is None:
        world.server.create(PODS, "shop", made)


def at(name: str) -> Any:  # noqa: ANN401
    return PODS.at(ObjectName("shop", name))


def leads_to(world: Cluster, address: str) -> list[tuple[str, str, str]]:
    """Return workload, address and node of each endpoint of a claim."""
    ends = world.claim(address).get("endpoints", [])
    assert {"host"} >= {end["attached"] for end in ends}
    return [(end["workload"], end["target"], end.get("node", "")) for end in ends]


def claims(world: Cluster) -> list[str]:
    """Return the addresses that somebody has."""
    found = {name.name: each for (kind, name), each in world.server.objects.items() if kind == CLAIMS}
    return sorted(name for name, each in found.items() if not each["spec"].get("released"))


@pytest.mark.parametrize(
    "said",
    [{WISH: "gold"}, {WISH: "192.0.2.0"}, {CALICO: '["192.0.2.0"]'}, {CALICO: '["192.0.2.0"]', WISH: "192.0.2.0"}],
)
def test_a_pod_that_asks_by_whichever_annotation_has_an_address(said: dict[str, str]) -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "db-0", annotations=said)
        pod(world, "plain", "10.244.0.3")
        await world.settle()
        assert ["192.0.2.0"] == claims(world)
        assert [("shop/db-0", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.0")
        assert ("translated", "gold") == (
            world.claim("192.0.2.0").get("mode", "translated"),
            world.claim("192.0.2.0")["pool"],
        )
        assert ("Normal", "FloatingIP", "192.0.2.0 leads to it") in events(world.server)

    run(story())


def test_a_pod_without_an_address_yet_waits_for_it_and_one_of_the_nodes_network_never_has_one() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "db-0", "", annotations={WISH: "gold"}, status={"phase": "Pending"})
        pod(world, "proxy", "198.51.100.1", annotations={WISH: "gold"}, spec={"hostNetwork": True})
        await world.settle()
        assert [] == claims(world)
        assert ["HostNetwork"] == [reason for _, reason, _ in events(world.server)]
        pod(world, "db-0", status={"phase": "Running"})
        await world.settle()
        assert [("shop/db-0", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.0")

    run(story())


def test_deleted_and_run_again_on_another_node_it_keeps_its_address() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "db-0", annotations={WISH: "gold"})
        await world.settle()
        world.server.delete(at("db-0"))
        await world.settle()
        assert ([], "released") == (leads_to(world, "192.0.2.0"), "released" if not claims(world) else "held")
        pod(world, "other", "10.244.0.9", annotations={WISH: "gold"})
        await world.settle()
        pod(world, "db-0", "10.244.1.2", "node-2", annotations={WISH: "gold"})
        await world.settle()
        assert [("shop/db-0", "10.244.1.2", "node-2")] == leads_to(world, "192.0.2.0")
        assert [("shop/other", "10.244.0.9", "node-1")] == leads_to(world, "192.0.2.1")

    run(story())


def test_a_deployment_has_one_address_which_moves_when_its_pod_goes() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "web-5d9f-a", annotations={WISH: "gold"}, creationTimestamp="2026-11-21T12:00:00Z", **REPLICA)
        await world.settle()
        pod(world, "web-5d9f-0", "10.244.1.2", "node-2", annotations={WISH: "gold"}, **REPLICA)
        await world.settle()
        assert [("shop/web-5d9f-a", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.0")
        assert "Deployment" == world.claim("192.0.2.0")["owners"][0]["kind"]
        pod(world, "web-5d9f-a", deletionTimestamp="2026-11-21T13:00:00Z", finalizers=["x"])
        await world.settle()
        assert [("shop/web-5d9f-0", "10.244.1.2", "node-2")] == leads_to(world, "192.0.2.0")
        assert ["192.0.2.0"] == claims(world)

    run(story())


def test_where_one_pod_of_a_deployment_asks_that_one_has_the_address_for_as_long_as_it_asks() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "web-5d9f-a", creationTimestamp="2026-11-21T12:00:00Z", **REPLICA)
        pod(world, "web-5d9f-b", "10.244.1.2", annotations={WISH: "gold"}, **REPLICA)
        await world.settle()
        leads = [("shop/web-5d9f-b", "10.244.1.2", "node-1")]
        assert leads == leads_to(world, "192.0.2.0")
        assert ("Normal", "FloatingIP", "192.0.2.0 leads to it") in events(world.server)
        pod(world, "web-5d9f-b", "10.244.1.2", status={"conditions": [{"type": "Ready", "status": "False"}]})
        await world.settle()
        assert (["192.0.2.0"], leads) == (claims(world), leads_to(world, "192.0.2.0"))
        pod(world, "web-5d9f-b", "10.244.1.2", status={"phase": "Failed"})
        await world.settle()
        assert (["192.0.2.0"], []) == (claims(world), leads_to(world, "192.0.2.0"))
        world.server.delete(at("web-5d9f-b"))
        await world.settle()
        assert [] == claims(world)

    run(story())


def test_ports_and_direction_are_as_the_pod_says_and_what_is_wrong_changes_nothing() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "db-0", annotations={WISH: "gold", PORTS: "tcp/80:8080, udp/53", DIRECTION: "ingress"})
        await world.settle()
        claim = world.claim("192.0.2.0")
        mapped = [end["mapping"] for end in claim["endpoints"]]
        assert [("tcp", 80, 8080), ("udp", 53, 53)] == [(e["protocol"], e["first"], e["targetFirst"]) for e in mapped]
        assert "ingress" == claim["direction"]
        for wrong in ({PORTS: "http"}, {PORTS: "", DIRECTION: "up"}):
            pod(world, "db-0", annotations=wrong)
            await world.settle()
            assert claim == world.claim("192.0.2.0")
        assert [True, True] == ["Malformed" == reason for kind, reason, _ in events(world.server) if kind == "Warning"]
        pod(world, "db-0", annotations={DIRECTION: None})
        await world.settle()
        assert [None] == [end.get("mapping") for end in world.claim("192.0.2.0")["endpoints"]]

    run(story())


def test_a_pool_that_is_not_for_the_namespace_is_a_no_for_its_name_and_for_its_addresses() -> None:
    async def story() -> None:
        world = cluster()
        world.pool("team", "198.51.100.0/30", namespaces=["team-a"])
        pod(world, "a", annotations={WISH: "team"})
        pod(world, "b", "10.244.0.3", annotations={CALICO: '["198.51.100.1"]'})
        pod(world, "c", "10.244.0.4", annotations={WISH: "203.0.113.7"})
        pod(world, "d", "10.244.0.5", annotations={WISH: "2001:db8::7"})
        await world.settle()
        assert [] == claims(world)
        expected = {"NotForNamespace", "AddressOutside", "FamilyNotAsked"}
        assert expected == {reason for kind, reason, _ in events(world.server) if kind == "Warning"}
        world.pool("team", "198.51.100.0/30", namespaces=["shop"])
        await world.settle()
        assert ["198.51.100.0", "198.51.100.1"] == claims(world), "taken up by itself"

    run(story())


def test_nobody_takes_the_address_of_another() -> None:
    async def story() -> None:
        world = cluster()
        world.service("web", annotations={"buoy.dev/pool": "gold"})
        await world.settle()
        assert ["192.0.2.0"] == world.addresses("web")
        pod(world, "db-0", annotations={WISH: "192.0.2.0"})
        await world.settle()
        assert ["AddressTaken"] == [reason for kind, reason, _ in events(world.server) if kind == "Warning"]
        world.delete("web")
        await world.settle()
        world.wait(301)
        await world.settle()
        assert [("shop/db-0", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.0")
        world.server.delete(at("db-0"))
        await world.settle()
        world.wait(301)
        world.service("again", annotations={"buoy.dev/addresses": "192.0.2.0"})
        await world.settle()
        claim = world.claim("192.0.2.0")
        assert ("proxied", None, ["192.0.2.0"]) == (claim["mode"], claim.get("endpoints"), world.addresses("again"))

    run(story())


def test_what_was_given_by_hand_leads_to_its_owner_and_is_never_released() -> None:
    async def story() -> None:
        world = cluster()
        ports = [{"protocol": "tcp", "first": 22, "last": 22, "targetFirst": 22}]
        owners = [{"kind": "Pod", "namespace": "shop", "name": "db-0"}]
        spec = {"address": "192.0.2.2", "mode": "translated", "owners": owners, "mappings": ports}
        world.server.create(CLAIMS, "", {"metadata": {"name": "192.0.2.2"}, "spec": spec})
        await world.settle()
        assert ("gold", []) == (world.claim("192.0.2.2")["pool"], leads_to(world, "192.0.2.2"))
        pod(world, "db-0", annotations={WISH: "gold"})
        await world.settle()
        assert [("shop/db-0", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.2")
        assert ["192.0.2.2"] == claims(world), "it has what it asks for"
        pod(world, "db-0", annotations={WISH: None})
        await world.settle()
        world.server.delete(at("db-0"))
        await world.settle()
        assert (["192.0.2.2"], []) == (claims(world), leads_to(world, "192.0.2.2"))

    run(story())


def test_what_was_given_by_hand_leads_to_its_owner_in_a_cluster_that_has_a_name_too() -> None:
    async def story() -> None:
        world = cluster(Ours(cluster="prod"))
        owners = [{"kind": "Pod", "namespace": "shop", "name": "db-0"}]
        spec = {"address": "192.0.2.2", "owners": owners}
        world.server.create(CLAIMS, "", {"metadata": {"name": "192.0.2.2"}, "spec": spec})
        pod(world, "db-0")
        await world.settle()
        assert [("shop/db-0", "10.244.0.2", "node-1")] == leads_to(world, "192.0.2.2")
        assert "prod" == world.claim("192.0.2.2")["owners"][0]["cluster"]
        pod(world, "db-0", annotations={WISH: "gold"})
        await world.settle()
        assert ["192.0.2.2"] == claims(world), "it has what it asks for"

    run(story())


def test_who_asks_no_more_gives_back_and_a_restart_changes_nothing() -> None:
    async def story() -> None:
        world = cluster()
        pod(world, "db-0", annotations={WISH: "gold"})
        await world.settle()
        writes = world.server.writes
        await world.restart()
        await world.settle()
        assert writes == world.server.writes
        pod(world, "db-0", annotations={WISH: ""})
        await world.settle()
        assert [] == claims(world)

    run(story())
