# SPDX-License-Identifier: Apache-2.0
"""etcd is set back to an older backup: nothing is withdrawn, and no address is given to another, without a person.

The store forgets a Service that a node announces and forwards: kube-proxy there is away, so that its rules stay. It
still knows the pods, which would be ended otherwise.
"""

import json
from typing import NamedTuple

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.calling import calls
from tests.e2e.kubernetes.cluster import Cluster, service

BACKUP = "/var/lib/backup.db"
# the revision goes back, as it does for who forgets to raise it: what has heard more must notice by itself
RESTORE = (
    f"rm -rf /var/lib/etcd && etcdctl snapshot restore {BACKUP} --name lab --data-dir /var/lib/etcd"
    " --initial-cluster lab=http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380"
)


class Told(NamedTuple):
    """The addresses of a Service older than the backup and of one that it lacks, and how calls of each went."""

    old: str
    forgotten: str
    lost: dict[str, list[str]]


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Told:
    """Set etcd back while a client calls both."""
    cluster.pod("forgotten", "node-1", {"app": "forgotten"})
    for number in (1, 2):
        cluster.pod(f"old-{number}", f"node-{number}", {"app": "old"})
    old = _serve(cluster, "old", "node-1", "node-2")
    cluster.on("controller", "etcdctl", "snapshot", "save", BACKUP)
    forgotten = _serve(cluster, "forgotten", "node-1")
    cluster.lab.service("stop", "node-1", "kube-proxy")
    eventually(lambda: _witnessed(cluster, forgotten))
    with calls(cluster, old) as of_old, calls(cluster, forgotten) as of_forgotten:
        eventually(lambda: min(len(of_old), len(of_forgotten)) > 5)
        # Kubernetes' own rule for a restore: a controller manager that remembers more takes endpoints away for a moment
        for name in ("kcm", "apiserver", "etcd"):
            cluster.lab.service("kill", "controller", name)
        cluster.on("controller", "sh", "-c", RESTORE)
        for name in ("etcd", "apiserver", "kcm"):
            cluster.lab.service("start", "controller", name)
            cluster.lab.wait_ready("controller", name)
        eventually(lambda: _reasons(cluster, forgotten), lambda seen: "held-by-guard" in seen, seconds=30)
        eventually(lambda: _reasons(cluster, forgotten), lambda seen: "claim-lost" in seen, seconds=30)
    said = {old: of_old, forgotten: of_forgotten}
    return Told(old, forgotten, {at: [line for line in lines if line != "ok"] for at, lines in said.items()})


def _serve(cluster: Cluster, name: str, *nodes: str) -> str:
    cluster.apply(service(name, externalTrafficPolicy="Local"))
    [address] = eventually(lambda: cluster.external(name))
    cluster.announced(f"{address}/32", *nodes)
    eventually(lambda: cluster.http(address))
    return address


def _witnessed(cluster: Cluster, address: str) -> bool:
    """Tell whether the node's witness, which it renews every five seconds, is younger than a claim."""
    claim = cluster.get("serviceip", address)["metadata"]["resourceVersion"]
    return int(cluster.get("witness", "node-1")["metadata"]["resourceVersion"]) > int(claim)


def _reasons(cluster: Cluster, address: str) -> set[str]:
    return {line["reason"] for line in cluster.why(address, "node-1") if not line["ok"]}


def _status(cluster: Cluster) -> dict[str, str]:
    """Return the rows of `buoy status` that are not ok, with their notes."""
    rows = json.loads(cluster.on("controller", "buoy", "status", "-o", "json", check=False))
    return {row["what"]: f"{row['value']} {row['note']}" for row in rows if not row["ok"]}


def test_no_call_is_lost_whether_the_backup_has_the_service_or_lacks_it(cluster: Cluster, told: Told) -> None:
    assert {told.old: [], told.forgotten: []} == told.lost
    cluster.announced(f"{told.old}/32", "node-1", "node-2")
    cluster.announced(f"{told.forgotten}/32", "node-1")


def test_what_the_store_forgot_is_given_to_nobody_until_a_person_gives_it_up(cluster: Cluster, told: Told) -> None:
    cluster.apply(service("other"))
    assert not {told.forgotten, told.old} & set(eventually(lambda: cluster.external("other"), seconds=30))
    wrong = eventually(lambda: _status(cluster), lambda rows: {"claims", "node node-1"} <= rows.keys(), seconds=20)
    assert ("removals held" in wrong["node node-1"], told.forgotten in wrong["claims"]) == (True, True)
    cluster.on("controller", "buoy", "service-ip", "release", told.forgotten)
    cluster.announced(f"{told.forgotten}/32")
    cluster.lab.service("start", "node-1", "kube-proxy")
    eventually(lambda: _status(cluster).keys() & {"claims", "node node-1"}, lambda rows: not rows, seconds=30)
    claim = cluster.get("serviceip", told.forgotten)["spec"]
    assert ("forgotten", True) == (claim["owners"][0]["name"], bool(claim.get("released")))
