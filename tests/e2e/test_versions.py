# SPDX-License-Identifier: Apache-2.0
"""Two versions side by side: an agent ahead of the plugin, the plugin ahead of an agent, upgraded and taken back."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from buoy.lab import launch, openstack
from buoy.lab.lab import Lab
from buoy.lab.topology import Topology
from tests.e2e.cloud import Cloud, eventually, fresh_name, networks
from tests.e2e.versions import NEXT, Place, make_next
from tests.e2e.watching import no_packet_lost, route_events

COMPUTES = ("compute-1", "compute-2")
OURS = {"controller": ["neutron"], "compute-1": ["agent", "dhcp"], "compute-2": ["agent", "dhcp"]}
"""What of Buoy's runs where."""


class Mixed(Cloud):
    """A cloud whose machines may each run another version of Buoy."""

    places: dict[str, Place]

    def run(self, machine: str, version: str) -> None:
        """Upgrade or downgrade a machine in place, as a package manager does: new files, then a restart."""
        self.places[machine].take(version)
        for name in OURS[machine]:
            self.lab.service("stop", machine, name)
            self.lab.service("start", machine, name)
        for name in OURS[machine]:
            self.lab.wait_ready(machine, name, 90)

    def stored(self, kind: str) -> dict[str, Any]:
        """Return the documents under a path, by what comes after it, as they stand in etcd."""
        key = f"/buoy/v1/{kind}/"
        lines = self.on(
            "controller",
            "env",
            "ETCDCTL_API=3",
            "etcdctl",
            "--endpoints=http://192.168.8.2:2379",
            "get",
            "--prefix",
            key,
        ).splitlines()
        return {at.removeprefix(key): json.loads(text) for at, text in zip(lines[::2], lines[1::2], strict=True)}


def _placed(plain: Topology, places: dict[str, Place]) -> Topology:
    def placed(node: Any) -> Any:  # noqa: ANN401  the lab's Node
        services = tuple(
            replace(one, environment={**one.environment, "PYTHONPATH": str(places[node.name].path)})
            if one.name in OURS.get(node.name, [])
            else one
            for one in node.services
        )
        return replace(node, services=services)

    return replace(plain, nodes=tuple(placed(node) for node in plain.nodes))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    """Everything is of this version, but for compute-2."""
    directory = tmp_path_factory.mktemp("versions")
    following = make_next(directory)
    places = {machine: Place(directory, machine, following) for machine in OURS}
    places["compute-2"].take("next")
    wanted = _placed(openstack.topology(fresh_name("versions"), 2), places)
    launch.start(wanted, lambda _: None, 120)
    made = Mixed(Lab(wanted.name))
    made.places = places
    try:
        networks(made)
        yield made
    finally:
        made.close()
        made.lab.down()


@pytest.fixture(scope="module")
def guests(cloud: Mixed) -> dict[str, dict[str, Any]]:
    """A guest on each node, by node."""
    return {node: cloud.boot(f"on-{node}", node, network="calico") for node in COMPUTES}


def _versions(cloud: Mixed) -> list[str]:
    return [str(cloud.stored("nodes")[node]["version"]) for node in COMPUTES]


def _work_together(cloud: Mixed, guests: dict[str, dict[str, Any]]) -> None:
    """Demand that a floating IP is served, reported, moved to the other node, and gone, whoever says and hears it."""
    one, two = (guests[node] for node in COMPUTES)
    made = cloud.get("floating", "ip", "create", "public", "--port", one["port"])
    address = made["floating_ip_address"]
    for guest in (one, two, one):
        cloud.openstack("floating", "ip", "set", "--port", guest["port"], address)
        eventually(partial(cloud.http, "access", address), guest["name"].__eq__, seconds=20)
        eventually(lambda: "ACTIVE" == cloud.get("floating", "ip", "show", address)["status"], seconds=20)
    cloud.openstack("floating", "ip", "delete", address)
    eventually(lambda: address not in cloud.routes("access"), seconds=10)
    statuses = [cloud.get("port", "show", guest["port"])["status"] for guest in (one, two)]
    assert ["ACTIVE", "ACTIVE"] == statuses
    agents = {row["Host"]: row["Alive"] for row in cloud.get("network", "agent", "list")}
    assert dict.fromkeys(COMPUTES, True) == agents


def _broken(cloud: Mixed) -> bool:
    return "unreadable" in cloud.buoy("status", check=False)


def test_an_agent_ahead_of_the_plugin_and_of_another_agent(cloud: Mixed, guests: dict[str, dict[str, Any]]) -> None:
    eventually(lambda: ["0.1.0", NEXT] == _versions(cloud))
    _work_together(cloud, guests)
    told = cloud.stored("status/compute-2")
    assert {(2, "of the next version")} == {(one["schema"], *one["novelty"]) for one in told.values()}
    assert {None} == {one.get("schema") for one in cloud.stored("status/compute-1").values()}
    assert not _broken(cloud)


def test_a_reason_that_only_the_agents_version_knows_is_still_a_no(
    cloud: Mixed, guests: dict[str, dict[str, Any]]
) -> None:
    guest = guests["compute-2"]

    def status() -> str:
        return str(cloud.get("port", "show", guest["port"])["status"])

    cloud.on("compute-2", "ip", "link", "set", guest["interface"], "down")
    eventually(status, "DOWN".__eq__)
    [said] = cloud.stored("status/compute-2/workload").values()
    assert "tap-asleep" == said["reason"]
    assert not _broken(cloud)
    cloud.on("compute-2", "ip", "link", "set", guest["interface"], "up")
    eventually(status, "ACTIVE".__eq__)


def test_a_plugin_ahead_of_an_agent(cloud: Mixed, guests: dict[str, dict[str, Any]]) -> None:
    cloud.run("controller", "next")
    _work_together(cloud, guests)
    name = cloud.stored("workloads/compute-1")
    cloud.openstack("port", "set", "--name", "renamed", guests["compute-1"]["port"])
    eventually(lambda: name != cloud.stored("workloads/compute-1"))
    [said] = cloud.stored("workloads/compute-1").values()
    assert (2, ["of the next version"]) == (said["schema"], said["novelty"])
    eventually(lambda: not cloud.lab.exec("compute-1", "buoy", "audit", check=False).returncode)
    assert not _broken(cloud)


@pytest.mark.parametrize(
    ("machines", "version"), [(["compute-1"], "next"), (["compute-1", "compute-2", "controller"], "this")]
)
def test_upgrade_and_downgrade_are_no_event_for_anybody(
    cloud: Mixed, guests: dict[str, dict[str, Any]], machines: list[str], version: str
) -> None:
    addresses = [address for guest in guests.values() for address in guest["addresses"] if "." in address]
    with route_events(cloud, "access", addresses) as events, no_packet_lost(cloud, "access", addresses):
        for machine in machines:
            cloud.run(machine, version)
    assert [] == events
    wanted = {"next": [NEXT, NEXT], "this": ["0.1.0", "0.1.0"]}[version]
    eventually(lambda: wanted == _versions(cloud))
    _work_together(cloud, guests)
    assert not _broken(cloud)
