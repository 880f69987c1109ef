# SPDX-License-Identifier: Apache-2.0
"""Several API workers on MariaDB, asked for everything at once: database, etcd and hosts agree afterwards."""

import ipaddress
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from tests.e2e import mariadb
from tests.e2e.api import Answer, Neutron
from tests.e2e.cloud import Cloud, eventually, fresh_name

NODES = {"compute-1": "192.168.8.3", "compute-2": "192.168.8.4"}
SHARE = 12
"""Floating IPs of each fate: moved, taken away, made; and as many ports for each to lead to."""
OPERATIONS = 200


Operation = Callable[[int], Answer]
"""Does its work at the API worker of that number."""


class Scene(NamedTuple):
    """What stands before everything happens at once."""

    network: str
    subnet: str
    outside: str
    group: str
    ports: list[dict[str, Any]]
    """With a tap each: those the moved floating IPs come from, go to, those that lose theirs, those that get one."""
    doomed: list[dict[str, Any]]
    moved: list[dict[str, Any]]
    lost: list[dict[str, Any]]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    lab = mariadb.up(fresh_name("mariadb"))
    made = Cloud(lab)
    try:
        yield made
    finally:
        made.close()
        lab.down()


@pytest.fixture(scope="module")
def neutron(cloud: Cloud) -> Neutron:
    return Neutron(mariadb.endpoints(cloud.lab))


@pytest.fixture(scope="module")
def scene(cloud: Cloud, neutron: Neutron) -> Scene:
    network = cloud.get("network", "create", "busy")["id"]
    subnet = cloud.get("subnet", "create", "--network", "busy", "--subnet-range", "10.77.0.0/22", "busy-v4")["id"]
    outside = cloud.get("network", "create", "--external", "outside")["id"]
    cloud.openstack("subnet", "create", "--network", "outside", "--subnet-range", "172.20.0.0/22", "outside-v4")
    cloud.openstack("router", "create", "edge")
    cloud.openstack("router", "add", "subnet", "edge", "busy-v4")
    cloud.openstack("router", "set", "--external-gateway", "outside", "edge")
    group = cloud.get("security", "group", "create", "web")["id"]
    ports = neutron.made("ports", {"ports": [_port(network, number) for number in range(6 * SHARE)]})
    tapped, doomed = ports[: 4 * SHARE], ports[4 * SHARE :]
    for node in NODES:
        taps = [f"tap{port['id'][:11]}" for port in tapped if port["binding:host_id"] == node]
        made = "".join(f"link add {tap} up type veth peer name x{tap}\nlink set x{tap} up\n" for tap in taps)
        cloud.lab.exec(node, "ip", "-batch", "-", text=made)
    floating = [_floating_ip(neutron, outside, port) for port in tapped[:SHARE] + tapped[2 * SHARE : 3 * SHARE]]
    return Scene(network, subnet, outside, group, tapped, doomed, floating[:SHARE], floating[SHARE:])


def _port(network: str, number: int) -> dict[str, Any]:
    host = list(NODES)[number % len(NODES)]
    return {"network_id": network, "binding:host_id": host, "device_owner": "compute:nova", "device_id": f"vm-{number}"}


def _floating_ip(neutron: Neutron, outside: str, port: dict[str, Any]) -> dict[str, Any]:
    body = {"floatingip": {"floating_network_id": outside, **_fixed_ip(port)}}
    return dict(neutron.made("floatingips", body))


def _fixed_ip(port: dict[str, Any]) -> dict[str, str]:
    return {"port_id": port["id"], "fixed_ip_address": port["fixed_ips"][0]["ip_address"]}


def _operations(neutron: Neutron, scene: Scene) -> list[Operation]:
    def put(at: str, **body: object) -> Operation:
        return lambda worker: neutron.ask("PUT", at, body, worker)

    def post(at: str, **body: object) -> Operation:
        return lambda worker: neutron.ask("POST", at, body, worker)

    def delete(at: str) -> Operation:
        return lambda worker: neutron.ask("DELETE", at, None, worker)

    target, fresh = scene.ports[SHARE : 2 * SHARE], scene.ports[3 * SHARE :]
    moves = zip(scene.moved, target, strict=True)
    rules = ({"security_group_id": scene.group, "direction": "ingress", "protocol": 6} for _ in range(32))
    return [
        *(put(f"floatingips/{one['id']}", floatingip=_fixed_ip(port)) for one, port in moves),
        *(put(f"floatingips/{one['id']}", floatingip={"port_id": None}) for one in scene.lost[: SHARE // 2]),
        *(delete(f"floatingips/{one['id']}") for one in scene.lost[SHARE // 2 :]),
        *(post("floatingips", floatingip={"floating_network_id": scene.outside, **_fixed_ip(port)}) for port in fresh),
        *(post("ports", port=_port(scene.network, number)) for number in range(60)),
        *(put(f"ports/{port['id']}", port={"security_groups": [scene.group]}) for port in scene.ports[::2]),
        *(
            put(f"ports/{port['id']}", port={"fixed_ips": [*port["fixed_ips"], {"subnet_id": scene.subnet}]})
            for port in scene.ports[1::2]
        ),
        *(delete(f"ports/{port['id']}") for port in scene.doomed),
        *(
            post("security-group-rules", security_group_rule={**rule, "port_range_min": n, "port_range_max": n})
            for n, rule in enumerate(rules, 1000)
        ),
    ]


def _at_once(operations: Sequence[Operation]) -> list[Answer]:
    """Start all together, each at the next worker."""
    together = threading.Barrier(len(operations))

    def act(number: int) -> Answer:
        together.wait()
        return operations[number](number)

    with ThreadPoolExecutor(len(operations)) as pool:
        return list(pool.map(act, range(len(operations))))


@pytest.fixture(scope="module")
def answers(neutron: Neutron, scene: Scene) -> list[Answer]:
    operations = _operations(neutron, scene)
    assert len(operations) == OPERATIONS
    return _at_once(operations)


def test_two_hundred_operations_at_once_through_three_workers_are_all_done(answers: list[Answer]) -> None:
    assert [] == [answer for answer in answers if answer.status >= 400]
    assert {200: 66, 201: 104, 204: 30} == _count(answers)


def _count(answers: Sequence[Answer]) -> dict[int, int]:
    return dict(Counter(answer.status for answer in answers))


@pytest.mark.usefixtures("answers")
def test_etcd_holds_what_the_database_holds(cloud: Cloud, neutron: Neutron) -> None:
    command = (sys.executable, "-m", "buoy.neutron.compare_now", "--config-file", "/etc/neutron/neutron.conf")
    eventually(lambda: cloud.lab.exec("controller", *command, check=False).returncode, (0).__eq__, seconds=60)
    addresses = {
        port["id"]: (port["binding:host_id"], {fixed["ip_address"] for fixed in port["fixed_ips"]})
        for port in neutron.all("ports")
        if port["binding:host_id"]
    }
    workloads = json.loads(cloud.buoy("show", "workloads", "-o", "json"))
    assert addresses == {one["id"]: (one["node"], set(one["fixed_ips"])) for one in workloads}
    leads = {one["floating_ip_address"]: one["port_id"] for one in neutron.all("floatingips")}
    claims = json.loads(cloud.buoy("show", "service-ips", "-o", "json"))
    assert leads == {
        claim["address"]: next((end["workload"] for end in claim["endpoints"]), None) if claim["nodes"] else None
        for claim in claims
    }


@pytest.mark.usefixtures("answers")
def test_the_router_reaches_each_floating_ip_at_the_node_of_its_port_and_no_other(
    cloud: Cloud, neutron: Neutron, scene: Scene
) -> None:
    hosts = {port["id"]: NODES[port["binding:host_id"]] for port in scene.ports}
    wanted = {one["floating_ip_address"]: hosts[one["port_id"]] for one in neutron.all("floatingips") if one["port_id"]}
    assert 2 * SHARE == len(wanted)
    eventually(partial(_seen, cloud, r"172\.20\."), wanted.__eq__, seconds=30)
    fixed = {
        address["ip_address"]: hosts[port["id"]]
        for port in neutron.all("ports", f"network_id={scene.network}")
        if port["id"] in hosts
        for address in port["fixed_ips"]
    }
    eventually(partial(_seen, cloud, r"10\.77\."), fixed.__eq__, seconds=30)
    eventually(lambda: _statuses(neutron), {"ACTIVE": 2 * SHARE, "DOWN": SHARE // 2}.__eq__, seconds=30)


def _seen(cloud: Cloud, pattern: str) -> dict[str, str]:
    found = re.findall(rf"^({pattern}\S+) via (\S+)", cloud.on("access", "ip", "route"), re.MULTILINE)
    return dict(found)


def _statuses(neutron: Neutron) -> dict[str, int]:
    return dict(Counter(one["status"] for one in neutron.all("floatingips")))


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("node", NODES)
def test_the_host_is_as_its_audit_wants_it(cloud: Cloud, node: str) -> None:
    eventually(lambda: cloud.lab.exec(node, "buoy", "audit", check=False).returncode, (0).__eq__, seconds=30)


def test_of_overlapping_subnets_made_at_the_same_instant_one_is_made(cloud: Cloud, neutron: Neutron) -> None:
    names = [f"rival-{number}" for number in range(6)]
    networks = [cloud.get("network", "create", name)["id"] for name in names]
    prefixes = ("10.90.0.0/24", "10.90.0.0/25", "10.90.0.128/25") * 2

    def rival(network: str, prefix: str) -> Operation:
        subnet = {"network_id": network, "cidr": prefix, "ip_version": 4}
        return lambda worker: neutron.ask("POST", "subnets", {"subnet": subnet}, worker)

    for _ in range(3):
        answers = _at_once([rival(*each) for each in zip(networks, prefixes, strict=True)])
        made = [one for one in neutron.all("subnets") if one["network_id"] in networks]
        assert {201: len(made), 409: len(names) - len(made)} == _count(answers)
        cidrs = [ipaddress.ip_network(one["cidr"]) for one in made]
        assert [] == [pair for pair in combinations(cidrs, 2) if pair[0].overlaps(pair[1])]
        assert made
        for one in made:
            neutron.ask("DELETE", f"subnets/{one['id']}")


@pytest.mark.usefixtures("answers")
def test_the_older_client_does_what_the_documents_show(cloud: Cloud, neutron: Neutron, scene: Scene) -> None:
    def old(*words: str) -> str:
        return cloud.lab.client("neutron", *words).stdout

    def new_id(*words: str) -> str:
        return str(re.findall(r"(?m)^\| id +\| (\S+)", old(*words))[0])

    new_id("net-create", "--shared", "older")
    words = ("--gateway", "10.65.0.1", "--enable-dhcp", "--ip-version", "4", "--name", "older-v4")
    subnet = new_id("subnet-create", *words, "older", "10.65.0.0/24")
    cloud.openstack("router", "add", "subnet", "edge", "older-v4")
    port = cloud.get("port", "create", "--network", "older", "vm")["id"]
    fixed = [word for last in (13, 23) for word in ("--fixed-ip", f"subnet_id={subnet},ip_address=10.65.0.{last}")]
    assert f"Updated port: {port}\n" == old("port-update", *fixed, port)
    shown = neutron.ask("GET", f"ports/{port}").body["port"]["fixed_ips"]
    assert ["10.65.0.13", "10.65.0.23"] == sorted(one["ip_address"] for one in shown)
    floating = new_id("floatingip-create", "outside")
    at = f"floatingips/{floating}"
    old("floatingip-associate", "--fixed-ip-address", "10.65.0.23", floating, port)
    assert "10.65.0.23" == neutron.ask("GET", at).body["floatingip"]["fixed_ip_address"]
    old("floatingip-disassociate", floating)
    assert None is neutron.ask("GET", at).body["floatingip"]["port_id"]
    rule = ("--protocol", "tcp", "--dst-port", "22", "--remote-ip", "192.168.8.1/32")
    cloud.openstack("security", "group", "rule", "create", *rule, scene.group)
    assert "ingress, IPv4, 22/tcp, remote_ip_prefix: 192.168.8.1/32" in old("security-group-list", "--name", "web")


@pytest.mark.usefixtures("answers")
def test_no_worker_logged_an_error(cloud: Cloud) -> None:
    bad = re.compile(r" ERROR (buoy|oslo_db|neutron\.api|neutron\.pecan)|InternalServerError")
    assert [] == [line for line in mariadb.log(cloud.lab).splitlines() if bad.search(line)]
