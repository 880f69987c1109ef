# SPDX-License-Identifier: Apache-2.0
"""Bad input at every door: named with field, value and remedy; nothing half done, and the rest unaffected."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.bare import AROUND, Bare, bare_cloud, service, service_ip, workload
from tests.e2e.cloud import eventually

NODE = "compute-1"
FUTURE = {**service_ip(11, NODE), "schema": 2, "address": "172.16.1.90", "colour": "green", "shape": {"round": True}}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    with bare_cloud("bad-input") as made:
        made.guest(11)
        yield made


BROKEN = {
    "pools/p": ("{", "pools/p"),
    "networks/broken": ('{"id": "broken", "mtu": "large"}', "mtu"),
    "subnets/broken": ('{"id": "broken", "network": "net", "prefix": "10.66.0.1/24"}', "prefix"),
    f"workloads/{NODE}/hostile": (
        json.dumps({**workload(12, NODE), "id": "hostile", "interface": "tap0; reboot"}), "interface"
    ),
    f"workloads/{NODE}/long": (json.dumps({**workload(12, NODE), "id": "long", "interface": "t" * 40}), "interface"),
    f"workloads/{NODE}/path": (json.dumps({**workload(12, NODE), "id": "path", "interface": "../../etc"}), "interface"),
    "service-ips/172.16.1.91": (json.dumps({**service_ip(11, NODE), "address": "172.16.1.091"}), "path"),
    "service-ips/172.16.1.92": (json.dumps(service_ip(11, NODE)), "172.16.1.92"),
    "service-ips/127.0.0.1": ('{"address": "127.0.0.1"}', "127.0.0.1"),
    "groups/broken": ('{"id": "broken", "rules": [{"side": "sideways", "family": 4}]}', "side"),
    "members/all/nonsense": ('{"group": "all", "prefix": "nonsense"}', "prefix"),
    "peers/broken": ('{"name": "broken", "address": "192.0.2.1", "asn": -1}', "asn"),
    "filters/broken": ("[1, 2, 3]", "filters/broken"),
    "fences/x": ("null", "fences/x"),
    "settings/bgp2": ('{"asn": 1}', "settings/bgp2"),
    f"status/{NODE}/address/10.9.9.9": ('"well"', "10.9.9.9"),
}  # fmt: skip


@pytest.fixture
def spoiled(cloud: Bare) -> Iterator[None]:
    """Everything a broken client may have written, and all of it taken away again."""
    for path, (text, _) in BROKEN.items():
        cloud.put(path, text)
    yield
    for path in BROKEN:
        cloud.remove(path)


def test_what_a_broken_client_wrote_is_named_and_nobody_else_is_affected(cloud: Bare, spoiled: None) -> None:
    done = cloud.lab.exec("controller", "buoy", "status", "-o", "json", check=False)
    notes = {row["what"].removeprefix("document "): row["note"] for row in json.loads(done.stdout) if not row["ok"]}
    assert 1 == done.returncode
    readable = [
        path for path, (_, told) in BROKEN.items() if told not in path + notes.get(path, "") or path not in notes
    ]
    assert [] == readable
    assert cloud.reaches(service(11))
    eventually(lambda: [] == cloud.audit(NODE))
    cloud.put("service-ips/172.16.1.93", {**service_ip(11, NODE), "address": "172.16.1.93"})
    eventually(lambda: cloud.reaches("172.16.1.93"))
    cloud.remove("service-ips/172.16.1.93")


@pytest.mark.parametrize("path", [f"service-ips/{service(11)}", f"workloads/{NODE}/w11", "groups/all", "subnets/s4"])
def test_of_a_document_that_cannot_be_read_any_more_the_last_readable_version_stays_in_force(
    cloud: Bare, path: str
) -> None:
    good = cloud.stored(path)
    cloud.put(path, "{")
    assert path in cloud.buoy("status", check=False)
    eventually(lambda: [] == cloud.audit(NODE))
    assert cloud.reaches(service(11))
    cloud.put(path, good)
    eventually(lambda: path not in cloud.buoy("status", check=False))


def test_documents_of_the_next_and_the_last_version_are_served(cloud: Bare) -> None:
    cloud.put("service-ips/172.16.1.90", FUTURE)
    cloud.put("groups/all", {**AROUND["groups/all"], "schema": 0})
    eventually(lambda: cloud.reaches("172.16.1.90"))
    eventually(lambda: [] == cloud.audit(NODE))
    cloud.remove("service-ips/172.16.1.90")
    cloud.put("groups/all", AROUND["groups/all"])


SETTINGS = {
    "node = 3": "node",
    "colour = 'green'": "colour",
    "addresses = ['192.0.2.300']": "192.0.2.300",
    "addresses = ['192.0.2.3']\naudit_interval = 'often'": "audit_interval",
    "[store]\nendpoints = ['ftp://x']": "endpoints",
    "[store]\nprefix = 'buoy'": "prefix",
    "[store": "agent.toml",
    "node = ''\naddresses = []": "addresses",
    "addresses = ['192.0.2.3']\nforeign_interfaces = 'tap1'": "foreign_interfaces",
    "addresses = ['192.0.2.3']\n[health]\nlisten = 'everywhere'": "health.listen",
    "addresses = ['192.0.2.3']\n[metadata]\nport = 99999": "metadata.port",
}


@pytest.mark.parametrize("text", SETTINGS)
def test_an_agent_with_bad_settings_does_not_start_and_says_which(cloud: Bare, text: str) -> None:
    cloud.lab.exec("controller", "sh", "-c", "cat > /run/agent.toml", text=text)
    command = ("timeout", "10", "buoy", "agent", "run", "--config", "/run/agent.toml")
    done = cloud.lab.exec("controller", *command, check=False)
    assert (2, False) == (done.returncode, "Traceback" in done.stderr)
    assert SETTINGS[text] in done.stderr


YAML = {
    "kind: Peer\nname: x\naddress: 192.0.2.1\nasn: many": "asn",
    "kind: Peer\nname: x\naddress: 192.0.2.1/24\nasn: 1": "address",
    "kind: Pear\nname: x": "kind",
    "kind: Peer\nname: x\ncolour: green": "colour",
    "kind: Workload\nid: w\nnode: n\ninterface: i\nmac: fa:16:3e:00:00:01\nnetwork: n": "Workload",
    "- kind: Peer\n  name: good\n  address: 192.0.2.1\n  asn: 1\n- kind: Peer\n  name: bad\n  asn: 2": "address",
    "a: [": "YAML",
    "just words": "kind",
    "\x01": "YAML",
    "": "--file",
}


@pytest.mark.parametrize("text", YAML)
def test_a_bad_file_is_refused_as_a_whole(cloud: Bare, text: str) -> None:
    cloud.lab.exec("controller", "sh", "-c", "cat > /run/bad.yaml", text=text)
    done = cloud.lab.exec("controller", "buoy", "apply", "-f", "/run/bad.yaml", check=False)
    assert (2, False) == (done.returncode, "Traceback" in done.stderr)
    assert YAML[text] in done.stderr
    assert None is cloud.stored("peers/good")


COMMANDS = [
    "nonsense", "why", "why 10.0.0", "why 10.0.0.1 10.0.0.2", "why 10.0.0.1 -o xml", "why 2001:db8::1%eth0",
    "status --colour", "apply", "apply -f /nowhere", "apply -f /", "plan", "audit", "plan -o 7", "agent",
    "agent nonsense", "agent run --config /nowhere", "agent run --config /", "agent skeleton", "agent cleanup",
    "agent release-guard", "agent drain", "dhcp show nonsense/x", "dhcp run --directory /proc/x", "peer add",
    "peer add x --address 192.0.2.1 --asn -1", "peer add x/y --address 192.0.2.1 --asn 1",
    "peer add x --address nowhere --asn 1", "peer delete nobody", "peer show nobody", "filter add x", "filter delete x",
    "bgp set --asn many", "bgp set --asn 0", "node fence", "node drain", "node fence x/y", "show nonsense",
    "show addresses --node", "lab vm boot", "lab down --name ../x", "lab status --name nobody", "doctor --output xml",
]  # fmt: skip


def test_no_command_with_bad_arguments_ends_in_a_traceback_or_in_success(cloud: Bare) -> None:
    script = 'while read -r line; do echo "== $line"; timeout 20 buoy $line 2>&1; echo "code $?"; done'
    told = cloud.lab.exec("controller", "bash", "-c", script, text="\n".join(COMMANDS) + "\n", timeout=200).stdout
    bad = [part.strip() for part in told.split("== ") if "Traceback" in part or "code 0" in part or "code 124" in part]
    assert [] == bad
    assert len(COMMANDS) == told.count("\ncode ")


@pytest.mark.parametrize(
    "endpoint", ["http://192.168.8.2:1", "http://192.0.2.1:2379", "nonsense", "https://192.168.8.2:2379"]
)
def test_a_store_that_is_not_there_is_named_in_seconds(cloud: Bare, endpoint: str) -> None:
    command = ("env", f"BUOY_ETCD={endpoint}", "timeout", "20", "buoy", "status")
    done = cloud.lab.exec("controller", *command, check=False)
    assert (True, False) == (done.returncode in (2, 3), "Traceback" in done.stderr)
    assert endpoint.partition("//")[2] in done.stderr
