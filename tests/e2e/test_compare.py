# SPDX-License-Identifier: Apache-2.0
"""What was lost or undone between Neutron and the store is found and mends, and what waits or is silent is said."""

import contextlib
import json
import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cloud import Cloud, eventually
from tests.e2e.truth import becomes, floating, killed, port_status, restart, serves, status

DATABASE = "/var/lib/neutron/neutron.sqlite"
CONFIGURATION = "/etc/neutron/neutron.conf"
SECONDS = 2
"""Between comparisons, and of patience with the outbox, instead of ten minutes and ten seconds."""

MENDED = 20
"""Seconds: two comparisons that look twice, on a machine that others share."""


class Scene:
    """A guest with a floating IP, in a cloud that compares database and store all the time."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        script = f"s/^compare_interval.*/compare_interval = {SECONDS}\\noutbox_patience = {SECONDS}/"
        cloud.on("controller", "sed", "-i", script, CONFIGURATION)
        cloud.lab.service("kill", "controller", "neutron")
        restart(cloud, "controller", "neutron")
        guest = cloud.boot("red", "compute-1", network="calico")
        self.port = str(guest["port"])
        self.address = floating(cloud, self.port)

    def log(self) -> str:
        """Return what Neutron logged."""
        return self.cloud.lab.log_files("controller", "neutron")[0].read_text()

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return what Neutron writes to the store, by key, but for Neutron's revisions: statuses move them too."""
        kinds = ("networks", "subnets", "pools", "workloads", "service-ips", "groups", "members")
        found = json.loads(self.cloud.on("controller", "etcdctl", "get", "--prefix", "/buoy/v1/", "-w", "json"))
        decoded = {b64decode(kv["key"]).decode(): json.loads(b64decode(kv["value"])) for kv in found["kvs"]}
        return {key: text | {"revision": 0} for key, text in decoded.items() if key.split("/")[3] in kinds}

    def sql(self, statement: str, *values: str) -> None:
        """Change Neutron's database by hand."""
        script = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1], timeout=30) as one:\n"
        script += " one.execute(sys.argv[2], sys.argv[3:])"
        self.cloud.on("controller", sys.executable, "-c", script, DATABASE, statement, *values)

    def neutron(self, node: str = "controller") -> str:
        """Return what `buoy status` says of Neutron, with a mark if it ends with 1."""
        done = self.cloud.lab.exec(node, "buoy", "status", "-o", "json", check=False)
        [row] = [row for row in json.loads(done.stdout) if row["what"] == "neutron"]
        assert row["ok"] or done.returncode == 1
        return ("" if row["ok"] else "no: ") + str(row["value"])


@pytest.fixture(scope="module")
def scene(cloud: Cloud) -> Scene:
    made = Scene(cloud)
    serves(cloud, made.address, "compute-1")
    return made


def test_a_store_damaged_by_hand_is_reported_and_mends(scene: Scene) -> None:
    cloud = scene.cloud
    before = scene.documents()
    claim = f"/buoy/v1/service-ips/{scene.address}"
    [network] = [key for key, said in before.items() if "/networks/" in key and said["name"] == "calico"]
    [pool] = [key for key in before if "/pools/" in key]
    [group] = {key.split("/")[4] for key in before if "/members/" in key}
    # an orphan that does harm: it lets a stranger in
    orphan, prefix = f"/buoy/v1/members/{group}/192.0.2.0/24", "192.0.2.0/24"
    changed = {key: value for key, value in before[network].items() if key != "revision"} | {"mtu": 1300}
    damage = [
        f"del {claim}",
        f"del {pool}",
        f"put {network} {json.dumps(json.dumps(changed))}",
        f"put {orphan} {json.dumps(json.dumps({'group': group, 'prefix': prefix}))}",
    ]
    cloud.lab.exec("controller", "etcdctl", "txn", text="\n" + "\n".join(damage) + "\n\n\n")
    assert before != scene.documents(), "the damage is done"
    eventually(scene.documents, lambda seen: seen == before, MENDED)
    # the claim is written again at once if its node takes the status back before the comparison comes
    assert re.search("[12] missing, 1 stale, 1 orphan of ", scene.log())
    serves(cloud, scene.address, "compute-1")
    assert "red" == cloud.http("access", scene.address)
    policy = cloud.on("compute-1", "nft", "list", "table", "inet", "buoy")
    assert prefix not in policy, "the orphan is gone from the node too"


def test_what_all_is_well_says(scene: Scene) -> None:
    eventually(scene.neutron, lambda seen: seen == "0 changes wait")
    text = scene.cloud.buoy("status", "--metrics")
    assert 'buoy_outbox_rows{writer="neutron"} 0' in text.splitlines()


def test_statuses_undone_by_hand_mend(scene: Scene) -> None:
    shown = f"port {scene.port} is active on compute-1"
    before = scene.log().count(shown)
    scene.sql("update ports set status='DOWN' where id=?", scene.port)
    scene.sql("update floatingips set status='ERROR' where floating_ip_address=?", scene.address)
    eventually(lambda: scene.log().count(shown), lambda seen: seen > before, MENDED)
    eventually(lambda: port_status(scene.cloud, scene.port), lambda seen: seen == "ACTIVE")
    becomes(scene.cloud, scene.address, "ACTIVE", MENDED)


def test_a_port_whose_status_is_refused_holds_up_no_other_and_is_named(scene: Scene) -> None:
    cloud = scene.cloud
    when = f"before update of status on ports when new.id='{scene.port}'"
    scene.sql(f"create trigger minds {when} begin select raise(abort, 'somebody minds'); end")
    cloud.boot("blue", "compute-1", network="calico")
    cloud.on("compute-1", "ip", "link", "set", f"tap{scene.port}"[:14], "down")
    eventually(scene.log, lambda text: f"the status of workloads/compute-1/{scene.port} is not shown" in text, MENDED)
    assert "ACTIVE" == port_status(cloud, scene.port), "refused"
    address = floating(cloud, cloud.boot("green", "compute-1", network="calico")["port"])
    serves(cloud, address, "compute-1")
    assert "DOWN" == status(cloud, scene.address), "its floating IP is not held up by the port"
    scene.sql("drop trigger minds")
    eventually(lambda: port_status(cloud, scene.port), lambda seen: seen == "DOWN", MENDED)
    cloud.on("compute-1", "ip", "link", "set", f"tap{scene.port}"[:14], "up")
    serves(cloud, scene.address, "compute-1")


@contextlib.contextmanager
def outbox_stuck(scene: Scene) -> Iterator[None]:
    """Keep rows from being deleted after they were taken, as a database that refuses does."""
    scene.sql("create trigger stuck before delete on buoy_dirty begin select raise(abort, 'stuck'); end")
    try:
        yield
    finally:
        scene.sql("drop trigger stuck")


def test_changes_that_wait_too_long_are_said(scene: Scene) -> None:
    with outbox_stuck(scene):
        scene.cloud.openstack("network", "set", "--mtu", "1400", "calico")
        eventually(scene.neutron, lambda seen: seen.startswith("no: ") and "the oldest for" in seen, MENDED)
    eventually(scene.neutron, lambda seen: seen == "0 changes wait", MENDED)


@contextlib.contextmanager
def cut_from_etcd(cloud: Cloud) -> Iterator[None]:
    """Cut off Neutron, which reaches etcd from the same machine; the nodes reach it as before."""
    rule = "chain input { type filter hook input priority -300; iif lo tcp dport 2379 drop; }"
    cloud.lab.exec("controller", "nft", "-f", "-", text=f"table inet cut {{\n{rule}\n}}\n")
    try:
        yield
    finally:
        cloud.on("controller", "nft", "delete", "table", "inet", "cut")


def test_a_neutron_cut_off_from_etcd_is_missed_and_catches_up(scene: Scene) -> None:
    cloud = scene.cloud
    with cut_from_etcd(cloud):
        late = floating(cloud)
        eventually(lambda: scene.neutron("compute-1"), lambda seen: seen.startswith("no: no heartbeat since "), 40)
        assert f"/buoy/v1/service-ips/{late}" not in cloud.on("compute-1", "buoy", "show", "service-ips")
        assert "red" == cloud.http("access", scene.address)
    eventually(scene.neutron, lambda seen: seen == "0 changes wait", 30)
    assert f"/buoy/v1/service-ips/{late}" in scene.documents()


def test_a_dead_neutron_is_missed(scene: Scene) -> None:
    cloud = scene.cloud
    with killed(cloud, "controller", "neutron"):
        eventually(scene.neutron, lambda seen: seen.startswith("no: no heartbeat since "), 40)
        assert "red" == cloud.http("access", scene.address)
    eventually(scene.neutron, lambda seen: seen == "0 changes wait", 30)
    serves(cloud, scene.address, "compute-1")
